"""What an engine thinks of a text (`{"pass", "text", "rules", "fault"}`), and the verdict that follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.errors import WorkerFault
from gateway.policy.rails.batch import Answers, clean
from gateway.policy.verdict import ALLOW, Action, Edit, Finding, Verdict
from gateway.wire.passage import Passage

Json = Any


def answers(said: Json) -> Answers:
    """What an engine answered to `inspect`. An opinion may be remembered where the engine says `keep` of all of them.

    One with a text of its own may not: that is the client's, mostly. One that broke over a text may not the next time.

    Raises `WorkerFault` for what is no opinion: nothing but `true` passes a text.
    """
    if not isinstance(said["verdicts"], list) or not all(map(_sound, said["verdicts"])):
        raise WorkerFault("the worker answered with something else than opinions")
    return Answers(said["verdicts"], _parts if said.get("keep") else lambda _: None)


def _sound(opinion: Json) -> bool:
    match opinion:
        case {"pass": bool(), "text": str() | None, "rules": [*rules], "fault": str()}:
            return all(isinstance(rule, str) for rule in rules)
    return False


def _parts(opinion: Json) -> int | None:
    return None if opinion["fault"] or opinion["text"] is not None else len(opinion["rules"])


def verdicts(rail: str, action: Action, passages: Sequence[Passage], opinions: Sequence[Json | None]) -> list[Verdict]:
    """One verdict per passage; `None` stands for a text that needed no asking.

    Raises `WorkerFault` where the engine broke over a text, unless another text is blocked anyway.
    """
    judged = [_verdict(rail, action, p.text, o) for p, o in zip(passages, opinions, strict=True)]
    broken = next((f.fault for v in judged for f in v.findings if f.fault), "")
    if broken and not any(v.action is Action.BLOCK and not v.fault for v in judged):
        raise WorkerFault(f"{rail}: {broken}")
    return judged


def _verdict(rail: str, action: Action, text: str, opinion: Json | None) -> Verdict:
    if opinion is None or opinion["pass"]:
        return ALLOW
    if opinion["fault"]:
        return Verdict(Action.BLOCK, frozenset({Finding(rail, "fault", 1, opinion["fault"])}))
    findings = frozenset(Finding(rail, rule) for rule in opinion["rules"])
    if action is not Action.REDACT:
        return Verdict(action, findings)
    if opinion["text"] is None:
        return Verdict(Action.BLOCK, findings)  # there is nothing to put in its place
    return Verdict(Action.REDACT, findings, frozenset({edit(clean(text), opinion["text"])}))


def edit(old: str, new: str) -> Edit:
    """The edit that makes `new` of `old`, without what they begin and end with alike."""
    shorter = min(len(old), len(new))
    start = next((i for i in range(shorter) if old[i] != new[i]), shorter)
    rest = shorter - start
    tail = next((i for i in range(rest) if old[-1 - i] != new[-1 - i]), rest)
    return Edit(start, len(old) - tail, new[start : len(new) - tail])
