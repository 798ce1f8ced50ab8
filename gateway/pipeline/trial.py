"""Texts before a policy without an exchange: what it would do, for tests of policies and for recorded traffic."""

from __future__ import annotations

import time
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from gateway.exchange import Exchange, Judgement, Timing
from gateway.pipeline.run import Run
from gateway.policy.policy import Bound, Policy
from gateway.policy.rail import Subject
from gateway.policy.verdict import ALLOW, Action, applied
from gateway.routing import Route
from gateway.stream import Tally
from gateway.wire.passage import Passage


@dataclass(frozen=True, slots=True)
class Given:
    """What an exchange's texts are judged against: the last user text, the evidence, the system prompt."""

    question: str = ""
    context: Sequence[str] = ()
    system: Sequence[str] = ()


@dataclass(slots=True)
class Trial:
    """One exchange's texts under one policy. A policy in shadow mode is tried as if it were enforced.

    `asked`, then `answered`, as in an exchange: placeholders that the first gives out the second restores.
    """

    run: Run
    refused: bool = field(default=False, init=False)

    @classmethod
    def of(cls, policy: Policy, given: Given) -> Self:
        enforced = replace(policy, input=_enforced(policy.input), output=_enforced(policy.output))
        exchange, route = Exchange("", "", Timing(0.0)), Route(policy.name, (), policy.name)
        run = Run(exchange, enforced, route, {}, Tally(time.monotonic))
        run.question, run.context, run.system = given.question, given.context, given.system
        return cls(run)

    async def asked(self, passages: Sequence[Passage]) -> list[str]:
        """Judge the texts of a request; what would be sent to a model."""
        run = self.run
        for passage in passages:
            run.vault.reserve(passage.text)
        subject = Subject(passages, run.question, run.context, run.vault)
        verdicts = await run.bench("input").judged(subject)
        self.refused = any(verdict.action is Action.BLOCK for verdict in verdicts)
        return [applied(passage.text, verdict.edits) for passage, verdict in zip(passages, verdicts, strict=True)]

    async def answered(self, pieces: Sequence[tuple[Hashable, Passage]]) -> list[str]:
        """Judge the texts of an answer, each named by a key; what would be delivered."""
        window = self.run.window(whole=True)
        spans = [window.feed(key, passage) for key, passage in pieces]
        window.finish()
        verdict = await window.settle()
        self.refused = verdict.action is Action.BLOCK
        return [] if self.refused else [span.delivered() for span in spans]

    @property
    def verdict(self) -> str:
        """In a word, as the record of an exchange has it."""
        return self.run.docket.verdict()

    @property
    def judgements(self) -> list[Judgement]:
        return self.run.docket.judgements()

    def deciders(self) -> list[str]:
        """The rails that asked for as much as was done; for `unavailable` those that failed."""
        if self.verdict == ALLOW.action.word:
            return []
        if self.verdict == "unavailable":
            return [said.rail for said in self.judgements if said.fault]
        return [said.rail for said in self.judgements if said.action == self.verdict]


def _enforced(bounds: Sequence[Bound]) -> tuple[Bound, ...]:
    return tuple(replace(bound, enforced=True) for bound in bounds)
