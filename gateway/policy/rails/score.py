"""The score rail: a threshold on what the scorer thinks of an answer, or of each of its sentences, or of a request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway.config.policy import REQUESTS, Metric, ScoreSpec
from gateway.errors import WorkerFault
from gateway.policy.rail import Caller, Subject, Tools, Unit
from gateway.policy.rails.batch import clean
from gateway.policy.verdict import ALLOW, Action, Finding, Verdict
from gateway.wire.passage import Passage

EVIDENCE: Final = frozenset({"groundedness", "hallucination", "verified"})
"""Metrics that hold an answer against the request's evidence."""

ALONE: Final = frozenset({"toxicity", "injection"})
"""Metrics of a text alone, however long it is."""

QUESTIONS: Final = frozenset({"novelty", "attack"})
"""Metrics of a question, held against what its policy knows."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What is `below` the one or `above` the other is acted on."""

    below: float | None = None
    above: float | None = None

    def crossed(self, value: float) -> bool:
        return (self.below is not None and value < self.below) or (self.above is not None and value > self.above)


@dataclass(frozen=True, slots=True)
class ScoreRail:
    name: str
    metric: Metric
    bounds: Bounds
    action: Action
    worker: Caller
    deadline_s: float
    policy: str = ""
    unit: Unit = Unit.ANSWER

    async def inspect(self, subject: Subject) -> Sequence[Verdict]:
        places = [n for n, passage in enumerate(subject.passages) if _scorable(passage, self.metric)]
        verdicts = [ALLOW] * len(subject.passages)
        if not places or not self._judgeable(subject, places):
            return verdicts
        texts = [clean(subject.passages[n].text) for n in places]
        for n, value in zip(places, await self._scores(subject, texts), strict=True):
            verdicts[n] = self._verdict(value)
        return verdicts

    async def _scores(self, subject: Subject, texts: Sequence[str]) -> Sequence[float | None]:
        if self.metric in ALONE:
            payload: dict[str, Any] = {"texts": list(texts), "heads": [self.metric]}
            values: list[float | None] = (await self._asked("classify", payload))[self.metric]
        else:
            items = [self._item(subject, texts, n) for n in range(len(texts))]
            values = [_value(one, self.metric) for one in await self._asked("score", {"items": items})]
        if len(values) != len(texts):
            raise WorkerFault("the scorer did not answer for every text")
        return values

    async def _asked(self, method: str, payload: dict[str, Any]) -> Any:
        return (await self.worker.call(method, payload, deadline_s=self.deadline_s))["scores"]

    def _item(self, subject: Subject, texts: Sequence[str], place: int) -> dict[str, Any]:
        """What the scorer needs for this metric and no more."""
        asked = texts[place] if subject.passages[0].direction == "input" else clean(subject.question)
        if self.metric in QUESTIONS:
            return {"question": asked, "context": [], "answer": "", "known": self.policy}
        item: dict[str, Any] = {
            "question": asked,
            "context": [clean(one) for one in subject.context],
            "answer": texts[place],
        }
        if self.metric == "consistency":
            item |= {"context": [], "samples": [text for n, text in enumerate(texts) if n != place]}
        if self.metric == "verified":
            item["verify"] = True
        return item

    def _judgeable(self, subject: Subject, places: Sequence[int]) -> bool:
        """Nothing is grounded in no evidence, nor relevant to no question, nor consistent by itself."""
        if self.metric in EVIDENCE:
            return any(subject.context)
        if self.metric == "consistency":
            return len(places) > 1
        asked = subject.passages[places[0]].direction == "input" or bool(subject.question)
        return self.metric in ALONE or asked

    def _verdict(self, value: float | None) -> Verdict:
        if value is None or not self.bounds.crossed(value):
            return ALLOW
        action = Action.BLOCK if self.action is Action.REDACT else self.action  # a whole answer cannot be cut out
        return Verdict(action, frozenset({Finding(self.name, self.metric)}))


def _value(said: Any, metric: Metric) -> float | None:
    """None where there is nothing to judge. A score that the scorer cannot give at all is a fault, not a pass."""
    if metric not in said:
        raise WorkerFault(f"the scorer has no {metric}")
    value: float | None = said[metric]
    return value


def _scorable(passage: Passage, metric: Metric) -> bool:
    """What the model says to the user, not its reasoning nor what it hands to tools; what anybody else says to it."""
    if passage.direction == "output":
        said = passage.channel == "content"
    else:
        said = metric in REQUESTS and passage.role not in _OPERATORS
    return said and bool(passage.text.strip())


_OPERATORS = frozenset({"system", "developer"})


def build(spec: ScoreSpec, tools: Tools) -> ScoreRail:
    return ScoreRail(
        name=spec.name or spec.metric,
        metric=spec.metric,
        bounds=Bounds(spec.below, spec.above),
        action=Action[spec.action.upper()],
        worker=tools.workers["scorer"],
        deadline_s=tools.deadline_s,
        policy=tools.policy,
        unit=Unit(spec.unit),
    )
