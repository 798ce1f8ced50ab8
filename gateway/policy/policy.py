"""A policy: the rails of each stage, run side by side, and what becomes of their faults.

The one place where a broad `except` is right: whatever a rail does, it costs one verdict and never its neighbours.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from gateway.config.policy import OnError, PolicySpec
from gateway.errors import PolicyBlocked, PolicyUnavailable, WorkerLost, WorkerTimeout
from gateway.exchange import Judgement
from gateway.policy.rail import Rail, Subject
from gateway.policy.verdict import ALLOW, Action, Edit, Finding, Verdict, applied

Stage = Literal["input", "output"]
Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Bound:
    """A rail in its place: how long it may take, what its failure means, whether it is enforced.

    One that does not `acts` (it only flags, or its policy is in shadow mode) never changes what is delivered.
    """

    rail: Rail
    deadline_s: float
    on_error: OnError
    enforced: bool
    flags: bool = False  # its action is `flag`: the worst it can do

    @property
    def acts(self) -> bool:
        return self.enforced and not self.flags


@dataclass(frozen=True, slots=True)
class Policy:
    name: str
    digest: str
    spec: PolicySpec
    input: tuple[Bound, ...] = ()
    output: tuple[Bound, ...] = ()

    def stage(self, stage: Stage) -> tuple[Bound, ...]:
        return self.input if stage == "input" else self.output


@dataclass(slots=True)
class Docket:
    """What the rails of one exchange said, one line a rail and stage, however often it was asked."""

    lines: dict[tuple[Stage, str], Judgement] = field(default_factory=dict)

    def note(self, stage: Stage, bound: Bound, verdict: Verdict, seconds: float) -> None:
        name = bound.rail.name
        old = self.lines.get((stage, name)) or Judgement(stage, name, "allow", enforced=bound.enforced)
        action = max(Action[old.action.upper()], verdict.action)
        self.lines[stage, name] = replace(
            old,
            action=action.word,
            rules=tuple(sorted({*old.rules, *(f.rule for f in verdict.findings if not f.fault)})),
            count=old.count + sum(f.count for f in verdict.findings if not f.fault),
            fault=old.fault or next((f.fault for f in verdict.findings if f.fault), ""),
            seconds=old.seconds + seconds,
        )

    def judgements(self) -> list[Judgement]:
        return list(self.lines.values())

    def verdict(self) -> str:
        """The strongest action that was enforced, in one word; `unavailable` if that was a rail's failure."""
        acted = [j for j in self.lines.values() if j.enforced]
        strongest = max((Action[j.action.upper()] for j in acted), default=Action.ALLOW)
        if strongest is Action.BLOCK and all(j.fault for j in acted if j.action == "block"):
            return "unavailable"
        return strongest.word


async def judged(
    bounds: Sequence[Bound], stage: Stage, subject: Subject, docket: Docket, clock: Clock = time.monotonic
) -> list[Verdict]:
    """One verdict per passage, of all `bounds` together.

    Rails run side by side and the first block cancels the rest. Where several would rewrite the same passage they are
    asked again one after the other, in declared order, each on what the one before left.
    """
    if not bounds or not subject.passages:
        return [ALLOW] * len(subject.passages)
    asked = [_Asked(bound, stage, docket, clock) for bound in bounds]
    if len(asked) == 1:
        verdicts = [await asked[0].inspect(subject)]
    else:
        verdicts = await _side_by_side(asked, subject)
    joined = [_join(column) for column in zip(*verdicts, strict=True)]
    return [
        await _composed(asked, subject, index, [v[index] for v in verdicts], verdict)
        for index, verdict in enumerate(joined)
    ]


def _join(column: Sequence[Verdict]) -> Verdict:
    verdict = ALLOW
    for one in column:
        verdict |= one
    return verdict


@dataclass(frozen=True, slots=True)
class _Asked:
    bound: Bound
    stage: Stage
    docket: Docket
    clock: Clock

    async def inspect(self, subject: Subject) -> list[Verdict]:
        started = self.clock()
        verdicts = await _answer(self.bound, subject)
        said = _join(verdicts)
        self.docket.note(self.stage, self.bound, said, self.clock() - started)
        return verdicts if self.bound.enforced else [watched(v) for v in verdicts]


def watched(verdict: Verdict) -> Verdict:
    """A shadow rail's verdict as it acts: not at all."""
    return Verdict(min(verdict.action, Action.FLAG), verdict.findings)


async def _answer(bound: Bound, subject: Subject) -> list[Verdict]:
    try:
        async with asyncio.timeout(bound.deadline_s):
            verdicts = list(await bound.rail.inspect(subject))
    except (TimeoutError, WorkerTimeout):
        return _failed(bound, subject, "timeout")
    except WorkerLost:
        return _failed(bound, subject, "lost")
    except Exception:  # noqa: BLE001 - whatever a rail raises is that rail's verdict, never its neighbours' end
        return _failed(bound, subject, "error")
    if len(verdicts) != len(subject.passages):
        return _failed(bound, subject, "error")
    return verdicts


def _failed(bound: Bound, subject: Subject, fault: str) -> list[Verdict]:
    worst = Action.FLAG if bound.flags else Action.BLOCK
    action = worst if bound.on_error == "closed" else Action.ALLOW
    finding = Finding(bound.rail.name, "fault", 1, fault)
    return [Verdict(action, frozenset({finding}))] * len(subject.passages)


async def _side_by_side(asked: Sequence[_Asked], subject: Subject) -> list[list[Verdict]]:
    """All answers, or those there were when the first block came: a block outweighs whatever the rest would say."""
    tasks = [asyncio.ensure_future(one.inspect(subject)) for one in asked]
    try:
        for next_done in asyncio.as_completed(tasks):
            verdicts = await next_done
            if any(v.action is Action.BLOCK for v in verdicts):
                break
        return [task.result() if task.done() else [ALLOW] * len(subject.passages) for task in tasks]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _composed(
    asked: Sequence[_Asked], subject: Subject, index: int, verdicts: Sequence[Verdict], joined: Verdict
) -> Verdict:
    """`joined` with the edits of several rails made one after the other instead of on top of each other."""
    editors = [one for one, verdict in zip(asked, verdicts, strict=True) if verdict.edits]
    if len(editors) < 2 or joined.action is Action.BLOCK:
        return joined
    passage = subject.passages[index]
    text = applied(passage.text, next(v.edits for v in verdicts if v.edits))
    for one in editors[1:]:
        again = replace(subject, passages=[replace(passage, text=text)])
        verdict = (await one.inspect(again))[0]
        joined |= Verdict(verdict.action, verdict.findings)
        text = applied(text, verdict.edits)
    return replace(joined, edits=frozenset({Edit(0, len(passage.text), text)}))


def enforce(verdicts: Iterable[Verdict], refusal: str | None) -> None:
    """Raise `PolicyBlocked` or `PolicyUnavailable` for a block. A real finding outweighs a rail that failed."""
    blocks = [v for v in verdicts if v.action is Action.BLOCK]
    if not blocks:
        return
    if all(v.fault for v in blocks):
        raise PolicyUnavailable(
            "A content policy could not judge the exchange, so it was refused. Try again.", retry_after=1
        )
    raise PolicyBlocked(refusal or "The exchange was refused by a content policy.")
