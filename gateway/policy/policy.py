"""A policy: the rails of each stage, run side by side, and what becomes of their faults.

The one place where a broad `except` is right: whatever a rail does, it costs one verdict and never its neighbours.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from gateway.config.policy import OnError, PolicySpec, Refusal
from gateway.errors import PolicyBlocked, PolicyUnavailable, WorkerLost, WorkerTimeout
from gateway.policy.docket import Docket, Line, Stage
from gateway.policy.memory import Reader
from gateway.policy.rail import Rail, Subject, Unit
from gateway.policy.verdict import ALLOW, Action, Edit, Finding, Verdict, applied

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Bound:
    """A rail in its place: how long it may take, what its failure means, whether it is enforced.

    One that does not `acts` (it only flags, or its policy is in shadow mode) never changes what is delivered. `mark`
    tells it from every other, and from itself under other settings; without one nothing it finds is remembered.
    """

    rail: Rail
    deadline_s: float
    on_error: OnError
    enforced: bool
    flags: bool = False  # its action is `flag`: the worst it can do
    mark: str = ""

    @property
    def acts(self) -> bool:
        return self.enforced and not self.flags

    def acted(self, verdict: Verdict) -> Verdict:
        """`verdict` as it acts: of a rail that only watches, not at all."""
        if self.acts or verdict is ALLOW:
            return verdict
        return Verdict(min(verdict.action, Action.FLAG), verdict.findings)

    def failed(self, fault: str) -> Verdict:
        """What it means that the rail could not judge."""
        worst = Action.FLAG if self.flags else Action.BLOCK
        action = worst if self.on_error == "closed" else Action.ALLOW
        return Verdict(action, frozenset({Finding(self.rail.name, "fault", 1, fault)}))


@dataclass(frozen=True, slots=True)
class Policy:
    name: str
    digest: str
    spec: PolicySpec
    input: tuple[Bound, ...] = ()
    output: tuple[Bound, ...] = ()

    def stage(self, stage: Stage) -> tuple[Bound, ...]:
        return self.input if stage == "input" else self.output


@dataclass(frozen=True, slots=True)
class Bench:
    """Rails that judge together, one stage of one exchange, and the docket where they are noted.

    With a `reader` they are reminded of what they found in texts before.
    """

    bounds: Sequence[Bound]
    stage: Stage
    docket: Docket
    clock: Clock = time.monotonic
    reader: Reader | None = None

    async def judged(self, subject: Subject) -> list[Verdict]:
        """One verdict per passage, of all rails together.

        They run side by side and the first block cancels the rest. Passages that several would rewrite are judged by
        those again, one after the other in declared order, each seeing what the one before left.
        """
        if not self.bounds or not subject.passages:
            return [ALLOW] * len(subject.passages)
        said = await self._said(subject)
        if len(said) == 1:
            return said[0]
        joined = [_joined(column) for column in zip(*said, strict=True)]
        return await self._composed(subject, said, joined)

    async def _said(self, subject: Subject) -> list[list[Verdict]]:
        """Every rail's answer, or those there were when the first block came: it outweighs what the rest would say.

        Rails that wait for nothing go first, and where they block nobody else is asked.
        """
        said = [[ALLOW] * len(subject.passages)] * len(self.bounds)
        waiting: list[int] = []
        for n, bound in enumerate(self.bounds):
            if bound.rail.unit is not Unit.MATCH:
                waiting.append(n)
                continue
            said[n] = await self._asked(bound, subject)
            if _blocked(said[n]):
                return said
        if len(waiting) == 1:
            said[waiting[0]] = await self._asked(self.bounds[waiting[0]], subject)
        elif waiting:
            await self._side_by_side(subject, waiting, said)
        return said

    async def _side_by_side(self, subject: Subject, which: Sequence[int], said: list[list[Verdict]]) -> None:
        tasks = [asyncio.ensure_future(self._asked(self.bounds[n], subject)) for n in which]
        try:
            for next_done in asyncio.as_completed(tasks):
                if _blocked(await next_done):
                    break
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for n, task in zip(which, tasks, strict=True):
            said[n] = said[n] if task.cancelled() else task.result()

    async def _composed(
        self, subject: Subject, said: Sequence[Sequence[Verdict]], joined: list[Verdict]
    ) -> list[Verdict]:
        """`joined` with the edits of several rails made one after the other instead of on top of each other.

        What rails that look for matches take out is taken out together, first.
        """
        turns = _turns(self.bounds, said)
        editors = [{n for n, verdict in enumerate(verdicts) if verdict.edits} for _, verdicts in turns]
        twice = {n for n in range(len(joined)) if sum(n in edited for edited in editors) > 1}
        if not twice or _blocked(joined):
            return joined
        texts = {n: subject.passages[n].text for n in twice}
        for (bound, verdicts), edited in zip(turns, editors, strict=True):
            mine = sorted(twice & edited)
            if bound is None or all(texts[n] == subject.passages[n].text for n in mine):
                again = [verdicts[n] for n in mine]
            else:
                again = await self._again(bound, subject, mine, texts)
            for n, verdict in zip(mine, again, strict=True):
                joined[n] |= replace(verdict, edits=frozenset())
                texts[n] = applied(texts[n], verdict.edits)
        for n, text in texts.items():
            joined[n] = replace(joined[n], edits=frozenset({Edit(0, len(subject.passages[n].text), text)}))
        return joined

    async def _again(self, bound: Bound, subject: Subject, which: list[int], texts: dict[int, str]) -> list[Verdict]:
        passages = [replace(subject.passages[n], text=texts[n]) for n in which]
        return await self._asked(bound, replace(subject, passages=passages), counted=False)

    async def _asked(self, bound: Bound, subject: Subject, *, counted: bool = True) -> list[Verdict]:
        """One rail's verdicts as they act, noted; what it found is not `counted` twice."""
        began = self.clock()
        if self.reader is not None and bound.mark:
            subject = replace(subject, known=self.reader.at(bound.mark))
        verdicts = await _answer(bound, subject)
        line = self.line(bound)
        line.seconds += self.clock() - began
        line.remembered += subject.known.hits
        for verdict in verdicts:
            if verdict is not ALLOW:
                line.note(verdict if counted else replace(verdict, findings=frozenset(_faults(verdict))))
        return [bound.acted(verdict) for verdict in verdicts]

    def line(self, bound: Bound) -> Line:
        """Where it is noted what a rail says."""
        return self.docket.line(self.stage, bound.rail.name, enforced=bound.enforced)

    def followed(self, bound: Bound, line: Line, act: Callable[..., Verdict], *given: object) -> Verdict:
        """The verdict of a rail that follows a text, by `act` on what is `given`, as it acts, noted in its `line`."""
        began = self.clock()
        try:
            verdict = act(*given)
        except Exception:  # noqa: BLE001 - as in `_answer`
            verdict = bound.failed("error")
        line.seconds += self.clock() - began
        if verdict is ALLOW:
            return verdict
        line.note(verdict)
        return bound.acted(verdict)


def _joined(verdicts: Sequence[Verdict]) -> Verdict:
    out = ALLOW
    for verdict in verdicts:
        if verdict is not ALLOW:
            out |= verdict
    return out


def _turns(bounds: Sequence[Bound], said: Sequence[Sequence[Verdict]]) -> list[tuple[Bound | None, Sequence[Verdict]]]:
    """Who rewrites after whom: all rails that look for matches as one, then each of the others."""
    pairs = list(zip(bounds, said, strict=True))
    matching = [verdicts for bound, verdicts in pairs if bound.rail.unit is Unit.MATCH]
    together = [_joined(column) for column in zip(*matching, strict=True)]
    others = [(bound, verdicts) for bound, verdicts in pairs if bound.rail.unit is not Unit.MATCH]
    return [(None, together), *others]


def _blocked(verdicts: Sequence[Verdict]) -> bool:
    return any(verdict.action is Action.BLOCK for verdict in verdicts)


def _faults(verdict: Verdict) -> list[Finding]:
    return [finding for finding in verdict.findings if finding.fault]


async def _answer(bound: Bound, subject: Subject) -> list[Verdict]:
    try:
        async with asyncio.timeout(bound.deadline_s):
            verdicts = list(await bound.rail.inspect(subject))
        if len(verdicts) == len(subject.passages) and all(isinstance(v, Verdict) for v in verdicts):
            return verdicts
        fault = "error"
    except (TimeoutError, WorkerTimeout):
        fault = "timeout"
    except WorkerLost:
        fault = "lost"
    except asyncio.CancelledError:
        if _being_cancelled():
            raise
        fault = "error"
    except Exception:  # noqa: BLE001 - whatever a rail raises is that rail's verdict, never its neighbours' end
        fault = "error"
    return [bound.failed(fault)] * len(subject.passages)


def _being_cancelled() -> bool:
    """Whether somebody wants this task to end; otherwise the rail cancelled something of its own."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def enforce(verdict: Verdict, refusal: Refusal) -> None:
    """Raise `PolicyBlocked` or `PolicyUnavailable` for a block. A real finding outweighs a rail that failed."""
    if verdict.action is not Action.BLOCK:
        return
    if verdict.fault:
        raise PolicyUnavailable(
            "A content policy could not judge the exchange, so it was refused. Try again.", retry_after=1
        )
    raise refused(refusal, "The exchange was refused by a content policy.")


def refused(refusal: Refusal, message: str) -> PolicyBlocked:
    """The error in the policy's own words, or in these."""
    return PolicyBlocked(refusal.message or message, refusal.status)
