"""The score rail: a threshold on what the scorer thinks of an answer, judged whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.config.policy import ScoreSpec
from gateway.errors import WorkerFault
from gateway.policy.rail import Caller, Subject, Tools, Unit
from gateway.policy.rails.batch import clean
from gateway.policy.verdict import ALLOW, Action, Finding, Verdict
from gateway.wire.passage import Passage


@dataclass(frozen=True, slots=True)
class ScoreRail:
    name: str
    metric: str
    below: float
    action: Action
    worker: Caller
    deadline_s: float
    unit: Unit = Unit.ANSWER

    async def inspect(self, subject: Subject) -> Sequence[Verdict]:
        answers = [n for n, passage in enumerate(subject.passages) if _scorable(passage)]
        verdicts = [ALLOW] * len(subject.passages)
        if not answers or not self._judgeable(subject):
            return verdicts
        for n, value in zip(answers, await self._scores(subject, answers), strict=True):
            verdicts[n] = self._verdict(value)
        return verdicts

    async def _scores(self, subject: Subject, answers: Sequence[int]) -> list[float | None]:
        question, context = clean(subject.question), [clean(one) for one in subject.context]
        texts = [clean(subject.passages[n].text) for n in answers]
        items = [{"question": question, "context": context, "answer": text} for text in texts]
        answer = await self.worker.call("score", {"items": items}, deadline_s=self.deadline_s)
        if len(answer["scores"]) != len(answers):
            raise WorkerFault("the scorer did not answer for every text")
        return [one[self.metric] for one in answer["scores"]]

    def _judgeable(self, subject: Subject) -> bool:
        """Nothing is grounded in no evidence, nor relevant to no question."""
        return any(subject.context) if self.metric == "groundedness" else bool(subject.question)

    def _verdict(self, value: float | None) -> Verdict:
        if value is None or value >= self.below:
            return ALLOW
        action = Action.BLOCK if self.action is Action.REDACT else self.action  # a whole answer cannot be cut out
        return Verdict(action, frozenset({Finding(self.name, self.metric)}))


def _scorable(passage: Passage) -> bool:
    """What the model says to the user: not its reasoning, nor what it hands to tools."""
    return passage.direction == "output" and passage.channel == "content" and bool(passage.text.strip())


def build(spec: ScoreSpec, tools: Tools) -> ScoreRail:
    return ScoreRail(
        name=spec.name or spec.metric,
        metric=spec.metric,
        below=spec.below,
        action=Action[spec.action.upper()],
        worker=tools.workers["scorer"],
        deadline_s=tools.deadline_s,
    )
