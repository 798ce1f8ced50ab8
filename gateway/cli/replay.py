"""`tidegate replay`: recorded traffic before another policy, and what would have been otherwise."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from gateway.cli.judging import judging
from gateway.cli.recorded import Log, Recorded
from gateway.config.schema import Config
from gateway.pipeline.trial import Trial
from gateway.policy.policy import Policy

AT_ONCE = 16

WORDS = ("allow", "flag", "redact", "block", "unavailable")
"""Every verdict, weakest first."""


class Ruling(NamedTuple):
    """A verdict, and the rails that brought it about."""

    verdict: str
    by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Changed:
    """An exchange that two policies see differently. `bad` is its label, if it has one."""

    id: str
    before: Ruling
    after: Ruling
    bad: bool | None


@dataclass(slots=True)
class Side:
    """What one policy says of all exchanges. Counts of labelled ones are by (is bad, would be blocked)."""

    name: str
    verdicts: Counter[str] = field(default_factory=Counter)
    labelled: Counter[tuple[bool, bool]] = field(default_factory=Counter)

    def note(self, ruling: Ruling, *, bad: bool | None) -> None:
        self.verdicts[ruling.verdict] += 1
        if bad is not None:
            self.labelled[bad, _blocks(ruling)] += 1

    @property
    def blocks(self) -> float | None:
        """The share that would be blocked; what could not be judged would be too, and is told apart."""
        return _share(self.verdicts["block"], self.verdicts.total())

    @property
    def recall(self) -> float | None:
        """Of what is labelled bad, the share that would be blocked."""
        return _share(self.labelled[True, True], self.labelled[True, True] + self.labelled[True, False])

    @property
    def false_positives(self) -> float | None:
        """Of what is labelled good, the share that would be blocked."""
        return _share(self.labelled[False, True], self.labelled[False, True] + self.labelled[False, False])


@dataclass(slots=True)
class Comparison:
    """`before` and `after` over the same exchanges: in a matrix by (before's verdict, after's), and one by one."""

    before: Side
    after: Side
    matrix: Counter[tuple[str, str]] = field(default_factory=Counter)
    changed: list[Changed] = field(default_factory=list)
    redacted: int = 0  # exchanges whose texts had been redacted before they were recorded

    @property
    def exchanges(self) -> int:
        return self.matrix.total()

    def note(self, exchange: Recorded, before: Ruling, after: Ruling, *, bad: bool | None) -> None:
        self.before.note(before, bad=bad)
        self.after.note(after, bad=bad)
        self.matrix[before.verdict, after.verdict] += 1
        self.redacted += exchange.redacted
        if before.verdict != after.verdict or set(before.by) != set(after.by):
            self.changed.append(Changed(exchange.id, before, after, bad))


async def compared(
    config: Config, names: tuple[str | None, str], log: Log, labels: Mapping[str, bool], step: Callable[[], None]
) -> Comparison:
    """Every exchange of `log` before both policies; without the first, what was said of it then is the one side.

    `labels` say which are bad, besides those in the log. `step` is called as it goes on.
    """
    first, second = names
    found = Comparison(Side(first or "as recorded"), Side(second))
    async with judging(config, {name for name in names if name}) as judges:
        recorded = log.exchanges()
        while batch := list(itertools.islice(recorded, AT_ONCE)):
            befores = await _ruled(judges.get(first) if first else None, batch)
            afters = await _ruled(judges[second], batch)
            known = {**log.labels, **labels}
            for exchange, before, after in zip(batch, befores, afters, strict=True):
                found.note(exchange, before, after, bad=known.get(exchange.id))
            step()
    return found


async def _ruled(policy: Policy | None, batch: Sequence[Recorded]) -> list[Ruling]:
    if policy is None:
        return [Ruling(one.verdict, tuple(one.deciders)) for one in batch]
    return await asyncio.gather(*(ruled(policy, one) for one in batch))


async def ruled(policy: Policy, exchange: Recorded) -> Ruling:
    """What `policy` says of an exchange: of its request, and unless that is refused of its answer."""
    trial = Trial.of(policy, exchange.given(policy))
    await trial.asked(exchange.input)
    if not trial.refused and exchange.output:
        await trial.answered(exchange.output)
    return Ruling(trial.verdict, tuple(trial.deciders()))


def _blocks(ruling: Ruling) -> bool:
    return ruling.verdict == "block"


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def as_json(found: Comparison, log: Log) -> dict[str, Any]:
    """All of it for other programs."""
    return {
        "log": str(log.file),
        "exchanges": found.exchanges,
        "without_text": log.without,
        "redacted_text": found.redacted,
        "broken_lines": log.broken,
        "before": _side(found.before),
        "after": _side(found.after),
        "verdicts": [{"before": a, "after": b, "count": n} for (a, b), n in sorted(found.matrix.items())],
        "changed": [_change(one) for one in found.changed],
    }


def _side(side: Side) -> dict[str, Any]:
    return {
        "policy": side.name,
        "verdicts": {word: side.verdicts[word] for word in WORDS},
        "would_block": side.blocks,
        "labelled": side.labelled.total(),
        "recall": side.recall,
        "false_positive_rate": side.false_positives,
    }


def _change(one: Changed) -> dict[str, Any]:
    return {
        "id": one.id,
        "before": {"verdict": one.before.verdict, "by": list(one.before.by)},
        "after": {"verdict": one.after.verdict, "by": list(one.after.by)},
        "bad": one.bad,
    }
