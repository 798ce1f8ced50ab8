"""The Guardrails AI rail: asks the `guardrails` worker, which holds the library, to judge by one guard spec."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError

from gateway.config import document, wording
from gateway.config.document import Document
from gateway.config.policy import Frozen, GuardrailsSpec, PolicySpec
from gateway.errors import ConfigError, Problem
from gateway.policy.rail import Caller, Subject, Tools, Unit
from gateway.policy.rails import opinion
from gateway.policy.rails.batch import Answers, Batch
from gateway.policy.verdict import ALLOW, Action, Verdict

Json = Any


def _id(said: str) -> str:
    if re.fullmatch(r"python:[\w.]+:\w+|[\w-]+/[\w-]+", said):
        return said
    raise ValueError("should be guardrails/<name> or python:<module>:<Class>")


class ValidatorSpec(Frozen):
    """One validator: `guardrails/<name>` as installed, or `python:module:Class`; what it does with what fails."""

    id: Annotated[str, AfterValidator(_id)]
    on_fail: Literal["noop", "fix"] = "noop"
    args: dict[str, Any] = Field(default_factory=dict)


class GuardFile(Frozen):
    """`policies/guards/*.yaml` as written.

    `folded` judges what a text reads once its disguises are off as well: for validators that forbid, not for those
    that demand. `remember` is whether what it says of a text may be said again of the same text without asking it;
    unless told otherwise, where all validators are the library's.
    """

    folded: bool = False
    remember: bool | None = None
    validators: Annotated[tuple[ValidatorSpec, ...], Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class GuardrailsRail:
    name: str
    unit: Unit
    action: Action
    guard: str
    worker: Caller
    deadline_s: float

    async def inspect(self, subject: Subject) -> Sequence[Verdict]:
        batch = Batch.of(subject.passages)
        if not batch.texts:
            return [ALLOW] * len(subject.passages)
        opinions = await batch.answered(subject.known, self._opinions)
        return opinion.verdicts(self.name, self.action, subject.passages, opinions)

    async def _opinions(self, texts: Sequence[str]) -> Answers:
        payload = {"guard": self.guard, "texts": texts}
        return opinion.answers(await self.worker.call("inspect", payload, deadline_s=self.deadline_s))


def build(spec: GuardrailsSpec, tools: Tools) -> GuardrailsRail:
    return GuardrailsRail(
        name=spec.name or spec.spec,
        unit=Unit(spec.unit),
        action=Action[spec.action.upper()],
        guard=spec.spec,
        worker=tools.workers["guardrails"],
        deadline_s=tools.deadline_s,
    )


def spec(policies: Iterable[PolicySpec], folder: Path) -> Json | None:
    """What the worker needs to know: the guards of all `policies`; None where there are none.

    Raises `ConfigError` for spec files that cannot be read. Whether a validator exists only the worker can tell.
    """
    rails = [rail for policy in policies for rail in (*policy.input, *policy.output)]
    named = sorted({rail.spec for rail in rails if isinstance(rail, GuardrailsSpec)})
    problems: list[Problem] = []
    guards = {name: _guard(folder / name, problems) for name in named}
    if problems:
        raise ConfigError(problems)
    return {"guards": guards} if guards else None


def _guard(file: Path, problems: list[Problem]) -> Json:
    written = document.read(file)
    if not written.problems:
        try:
            return _json(written, GuardFile.model_validate(written.value))
        except ValidationError as found:
            wording.refuse(written, found, GuardFile)
    problems += written.problems
    return None


def _json(written: Document, guard: GuardFile) -> Json:
    lines = [written.line(("validators", n)) for n in range(len(guard.validators))]
    return {
        "file": written.file,
        "folded": guard.folded,
        "remember": all(v.id.startswith("guardrails/") for v in guard.validators)
        if guard.remember is None
        else guard.remember,
        "validators": [{**v.model_dump(), "line": line} for v, line in zip(guard.validators, lines, strict=True)],
    }
