"""The NeMo Guardrails rail: asks the `nemo` worker, which holds the library, to judge by one config folder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from gateway.config.policy import NemoSpec, PolicySpec
from gateway.policy.rail import Caller, Subject, Tools, Unit
from gateway.policy.rails import opinion
from gateway.policy.rails.batch import Answers, Batch, clean
from gateway.policy.verdict import ALLOW, Action, Verdict

Json = Any


@dataclass(frozen=True, slots=True)
class NemoRail:
    name: str
    unit: Unit
    action: Action
    config: str
    worker: Caller
    deadline_s: float

    async def inspect(self, subject: Subject) -> Sequence[Verdict]:
        batch = Batch.of(subject.passages)
        if not batch.texts:
            return [ALLOW] * len(subject.passages)
        told = {"config": self.config, "direction": subject.passages[0].direction, "question": clean(subject.question)}
        opinions = await batch.answered(subject.known, partial(self._opinions, told))
        return opinion.verdicts(self.name, self.action, subject.passages, opinions)

    async def _opinions(self, told: Json, texts: Sequence[str]) -> Answers:
        payload = {**told, "texts": texts}
        return opinion.answers(await self.worker.call("inspect", payload, deadline_s=self.deadline_s))


def build(spec: NemoSpec, tools: Tools) -> NemoRail:
    return NemoRail(
        name=spec.name or spec.config,
        unit=Unit(spec.unit),
        action=Action[spec.action.upper()],
        config=spec.config,
        worker=tools.workers["nemo"],
        deadline_s=tools.deadline_s,
    )


def spec(policies: Iterable[PolicySpec], folder: Path) -> Json | None:
    """What the worker needs to know: the folders of all `policies` and the stages that use them; None without any."""
    configs: dict[str, Json] = {}
    for policy in policies:
        for stage, rails in (("input", policy.input), ("output", policy.output)):
            for name in dict.fromkeys(rail.config for rail in rails if isinstance(rail, NemoSpec)):
                config = configs.setdefault(name, {"folder": str((folder / name).resolve()), "stages": []})
                config["stages"] += [stage] if stage not in config["stages"] else []
    return {"configs": configs} if configs else None
