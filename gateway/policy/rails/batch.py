"""One question for all passages of a stage: each text once, none empty; and the answers back in their places."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from gateway.errors import WorkerFault
from gateway.wire.passage import Passage

T = TypeVar("T")
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Batch:
    """`texts` to ask about; `places` says for every passage which of them is its own, None for an empty one."""

    texts: tuple[str, ...]
    places: tuple[int | None, ...]

    @classmethod
    def of(cls, passages: Sequence[Passage]) -> Batch:
        order: dict[str, int] = {}
        places = [order.setdefault(clean(p.text), len(order)) if p.text else None for p in passages]
        return cls(tuple(order), tuple(places))

    def spread(self, answers: Sequence[T]) -> list[T | None]:
        """An answer per passage. Raises `WorkerFault` unless there is one per text."""
        if len(answers) != len(self.texts):
            raise WorkerFault("the worker did not answer for every text")
        return [None if place is None else answers[place] for place in self.places]


def clean(text: str) -> str:
    """`text` as UTF-8 can carry it, with the same number of code points: nothing matches half a character."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)
