"""The schema rail: what the model says to the user must be one JSON document of a given shape. Judged whole."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from gateway.config.policy import SchemaSpec
from gateway.policy.rail import Subject, Tools, Unit
from gateway.policy.rails import shape
from gateway.policy.rails.shape import Broken, Shape
from gateway.policy.verdict import ALLOW, Action, Finding, Verdict
from gateway.wire.passage import Passage

_FENCE = "```"
_OPENING = re.compile(r"```\w*[ \t\r]*\n")


@dataclass(frozen=True, slots=True)
class SchemaRail:
    """`strip_fences` judges what stands in a Markdown fence around the whole answer; the fence is delivered."""

    channels: ClassVar[frozenset[str]] = frozenset({"content"})
    name: str
    action: Action
    shape: Shape
    strip_fences: bool
    unit: Unit = Unit.ANSWER

    async def inspect(self, subject: Subject) -> Sequence[Verdict]:
        return [self._verdict(p.text) if _spoken(p) else ALLOW for p in subject.passages]

    def _verdict(self, text: str) -> Verdict:
        try:
            self.shape.check(shape.value(self._bare(text)))
        except Broken as broken:
            return Verdict(self.action, frozenset({Finding(self.name, broken.rule)}))
        return ALLOW

    def _bare(self, text: str) -> str:
        inner = text.strip() if self.strip_fences else text
        opening = _OPENING.match(inner)
        if not (self.strip_fences and opening and inner.endswith(_FENCE) and len(inner) >= opening.end() + len(_FENCE)):
            return text
        return inner[opening.end() : -len(_FENCE)]


def _spoken(passage: Passage) -> bool:
    """What the model says to the user. An answer that is nothing but tool calls says nothing."""
    said = passage.direction == "output" and passage.role == "assistant" and passage.channel == "content"
    return said and bool(passage.text)


def build(spec: SchemaSpec, tools: Tools) -> SchemaRail:
    """Raises `ConfigError` for a schema that cannot be used."""
    return SchemaRail(
        name=spec.name or "schema",
        action=Action[spec.action.upper()],
        shape=shape.given(spec.json_schema, spec.file, tools.folder),
        strip_fences=spec.strip_fences,
    )
