"""The personal-data rail: asks the `pii` worker, which holds Presidio, where it is, and puts placeholders there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.config.policy import PiiSpec, PolicySpec
from gateway.config.wording import near
from gateway.errors import ConfigError, WorkerFault
from gateway.policy.entities import ENTITIES
from gateway.policy.normalise.view import Normaliser
from gateway.policy.rail import Caller, Subject, Tools, Unit
from gateway.policy.rails.batch import Answers, Batch
from gateway.policy.rails.place import problem
from gateway.policy.signs import Signs
from gateway.policy.vault import Vault
from gateway.policy.verdict import ALLOW, Action, Edit, Finding, Verdict
from gateway.wire.passage import Passage

Json = Any

_LONG, _FOREIGN = 8192, 512  # characters, in ASCII and beyond: to look through more is no quicker than to ask


@dataclass(frozen=True, slots=True)
class PiiRail:
    name: str
    action: Action
    entities: tuple[str, ...]
    score: float
    restore: bool
    worker: Caller
    deadline_s: float
    signs: Signs | None = None  # that one of the entities may be in a text; None: always
    normaliser: Normaliser = field(default_factory=Normaliser)
    unit: Unit = Unit.SENTENCE  # sentences end before white space, which no e-mail address, URL or IP address has

    async def inspect(self, subject: Subject) -> Sequence[Verdict]:
        batch = Batch.of(subject.passages)
        if not batch.texts:
            return [ALLOW] * len(subject.passages)
        spans = await batch.answered(subject.known, self._found)
        for passage in subject.passages:
            subject.vault.reserve(passage.text)
        return [self._verdict(p, s or [], subject.vault) for p, s in zip(subject.passages, spans, strict=True)]

    async def _found(self, texts: Sequence[str]) -> Answers:
        """Where the entities are: that follows from a text alone, what stands for them from the exchange as well.

        Texts without a sign of any need no asking.
        """
        asked = [text for text in texts if self._may(text)]
        if not asked:
            return Answers([[] for _ in texts], len)
        payload = {"entities": self.entities, "score": self.score, "texts": asked}
        answer = await self.worker.call("inspect", payload, deadline_s=self.deadline_s)
        if len(answer["spans"]) != len(asked):
            raise WorkerFault("the worker did not answer for every text")
        if not all(map(_sound, asked, answer["spans"])):
            raise WorkerFault("the worker answered with something else than spans")
        found = dict(zip(asked, answer["spans"], strict=True))
        return Answers([found.get(text, []) for text in texts], len)

    def _may(self, text: str) -> bool:
        """Whether `text`, or what it says in disguise, may have one of the entities in it."""
        if self.signs is None or len(text) > (_LONG if text.isascii() else _FOREIGN) or self.signs.stand_in(text):
            return True
        return any(self.signs.stand_in(view.text) for view in self.normaliser.views(text))

    def _verdict(self, passage: Passage, spans: Sequence[Json], vault: Vault) -> Verdict:
        if not spans:
            return ALLOW
        findings = frozenset(Finding(self.name, entity, n) for entity, n in Counter(s[2] for s in spans).items())
        if self.action is not Action.REDACT:
            return Verdict(self.action, findings)
        edits = [self._edit(passage, _unescaped(passage, start), end, entity, vault) for start, end, entity, _ in spans]
        return Verdict(Action.REDACT, findings, frozenset(edits))

    def _edit(self, passage: Passage, start: int, end: int, entity: str, vault: Vault) -> Edit:
        if self.restore and passage.direction == "input":
            return Edit(start, end, vault.placeholder(entity, passage.text[start:end]))
        return Edit(start, end, f"[{entity}]")


def _sound(text: str, spans: Json) -> bool:
    """Whether `spans` are some, of `text`."""
    if not isinstance(spans, list):
        return False
    for span in spans:
        match span:
            case [int(start), int(end), str(), float() | int()] if 0 <= start < end <= len(text):
                continue
        return False
    return True


def _unescaped(passage: Passage, start: int) -> int:
    r"""`start`, past the letter of an escape: arguments are JSON text, where `\nbob@…` is a line break and a name."""
    before = passage.text[:start]
    slashes = len(before) - len(before.rstrip("\\"))
    if passage.channel != "arguments" or slashes % 2 == 0:
        return start
    return start + (5 if passage.text[start] == "u" else 1)


def build(spec: PiiSpec, tools: Tools) -> PiiRail:
    return PiiRail(
        name=spec.name or "pii",
        action=Action[spec.action.upper()],
        entities=spec.entities,
        score=spec.score,
        restore=spec.restore,
        worker=tools.workers["pii"],
        deadline_s=tools.deadline_s,
        signs=Signs.of(spec.entities),
    )


def spec(policies: Iterable[PolicySpec], folder: Path) -> Json | None:
    """What the worker needs to know: the entities of all `policies`; None where no policy has this rail.

    Raises `ConfigError` for entities there are not.
    """
    used = [(p, rail) for p in policies for rail in (*p.input, *p.output) if isinstance(rail, PiiSpec)]
    problems = [
        problem(folder, policy, entity, f"pii.entities: {entity!r} is not known{near(entity, ENTITIES)}")
        for policy, rail in used
        for entity in rail.entities
        if entity not in ENTITIES
    ]
    if problems:
        raise ConfigError(problems)
    return {"entities": sorted({entity for _, rail in used for entity in rail.entities})} if used else None
