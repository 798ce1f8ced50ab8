"""What a rail is to the rest of the house. Each kind lives in `policy/rails/` and is named in its one table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from gateway.policy.verdict import Verdict
from gateway.wire.passage import Passage


class Unit(Enum):
    """How much text a rail must see at once to judge it; a stream is held back accordingly."""

    MATCH = "match"  # only while a match may still be going on: the rail has `held`
    SENTENCE = "sentence"
    ANSWER = "answer"


@dataclass(frozen=True, slots=True)
class Subject:
    """One stage of one exchange: the passages to judge together with what they may be judged against.

    `question` is the last user text and `context` what the request marked as evidence; rails that score an answer
    need both, most rails look at `passages` only. `vault` keeps an exchange's own placeholders (see `pii`).
    """

    passages: Sequence[Passage]
    question: str = ""
    context: Sequence[str] = ()


class Rail(Protocol):
    """A judge. Answers one verdict per passage, in order; raises only what it cannot turn into a verdict."""

    name: str
    unit: Unit

    async def inspect(self, subject: Subject) -> Sequence[Verdict]: ...
