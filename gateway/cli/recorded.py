"""Exchanges as the event log has them, with their texts; and labels that somebody gave them."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import orjson

from gateway.errors import ConfigError, Problem
from gateway.pipeline.trial import Given
from gateway.policy.policy import Policy
from gateway.wire.passage import Passage

_COMPLETED, _FEEDBACK = b'"exchange.completed"', b'"feedback.received"'
_SOURCES = MappingProxyType({"developer": "system", "function": "tool"})

_BAD = frozenset({"bad", "block", "unsafe", "harmful", "attack", "true", "1"})
_GOOD = frozenset({"good", "allow", "safe", "benign", "false", "0"})


@dataclass(frozen=True, slots=True)
class Recorded:
    """One exchange: what was said of it then, and its texts."""

    id: str
    verdict: str
    deciders: Sequence[str]
    redacted: bool
    input: Sequence[Passage]
    output: Sequence[tuple[Hashable, Passage]]

    def given(self, policy: Policy) -> Given:
        """What its texts are judged against, as far as the record tells it."""
        content = [p for p in self.input if p.channel == "content"]
        asked = [p.text for p in content if p.role == "user"]
        sources = policy.spec.context
        context = [p.text for p in self.input if _SOURCES.get(p.role, p.role) in sources]
        system = [p.text for p in content if _SOURCES.get(p.role, p.role) == "system"]
        return Given(asked[-1] if asked else "", context, system)


@dataclass(slots=True)
class Log:
    """An event log, read once. `without` counts exchanges whose texts it does not have, `broken` lines of no event."""

    file: Path
    read: int = 0  # bytes so far
    without: int = 0
    broken: int = 0
    labels: dict[str, bool] = field(default_factory=dict)  # from feedback; true is bad

    def exchanges(self) -> Iterator[Recorded]:
        with self.file.open("rb") as lines:
            for line in lines:
                self.read += len(line)
                if (event := self._event(line)) is not None:
                    yield from self._exchange(event)

    def _event(self, line: bytes) -> Mapping[str, Any] | None:
        if _COMPLETED not in line and _FEEDBACK not in line:
            return None
        try:
            event = orjson.loads(line)
            if event["event"] == "feedback.received" and (bad := verdict_of(event.get("label"))) is not None:
                self.labels[event["id"]] = bad
            return event if event["event"] == "exchange.completed" else None
        except (orjson.JSONDecodeError, TypeError, KeyError):
            self.broken += 1
            return None

    def _exchange(self, event: Mapping[str, Any]) -> Iterator[Recorded]:
        try:
            found = _recorded(event)
        except (TypeError, KeyError, AttributeError):
            self.broken += 1
            return
        if found.input or found.output:
            yield found
        else:
            self.without += 1


def _recorded(event: Mapping[str, Any]) -> Recorded:
    captured = event.get("captured") or {"mode": "full", "input": (), "output": ()}
    verdict = event["verdict"]
    return Recorded(
        event["id"],
        verdict,
        [j["rail"] for j in event["judgements"] if j["action"] == verdict != "allow"],
        captured["mode"] == "redacted",
        [_passage("input", n, said) for n, said in enumerate(captured["input"])],
        [((said.get("choice", 0), n), _passage("output", n, said)) for n, said in enumerate(captured["output"])],
    )


def _passage(direction: Any, n: int, said: Mapping[str, str]) -> Passage:
    top = "choices" if direction == "output" else "messages" if said["role"] else "fields"
    return Passage((top, n), said["role"], direction, said["text"], said["channel"])


def labels(file: Path) -> dict[str, bool]:
    """Whether each exchange named in a JSONL of `id` and `label` is bad. Raises `ConfigError` for what is no label."""
    found: dict[str, bool] = {}
    problems: list[Problem] = []
    for number, line in enumerate(file.read_bytes().splitlines(), 1):
        if not line.strip():
            continue
        try:
            said = orjson.loads(line)
            bad = verdict_of(said["label"])
            found[said["id"]] = bool(bad)
        except (orjson.JSONDecodeError, TypeError, KeyError):
            bad = None
        if bad is None:
            known = f"{', '.join(sorted(_BAD))} or {', '.join(sorted(_GOOD))}"
            problems.append(Problem(str(file), number, f"should have an `id` and a `label`, which is {known}"))
    if problems:
        raise ConfigError(problems)
    return found


def verdict_of(label: object) -> bool | None:
    """Whether a label says bad; None where it says nothing."""
    word = str(label).strip().lower()
    return True if word in _BAD else False if word in _GOOD else None
