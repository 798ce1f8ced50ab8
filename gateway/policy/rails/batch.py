"""One question for all passages of a stage: each text once, none empty; and the answers back in their places."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from gateway.errors import WorkerFault
from gateway.policy.memory import Known
from gateway.wire.passage import Passage

T = TypeVar("T")
_SURROGATE = re.compile("[\ud800-\udfff]")


class Answers(NamedTuple):
    """An answer for each text. `parts` says how large one is that may be remembered, and None of one that may not."""

    answers: Sequence[Any]
    parts: Callable[[Any], int | None]


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

    async def answered(self, known: Known, ask: Callable[[Sequence[str]], Awaitable[Answers]]) -> list[Any | None]:
        """An answer per passage, None for an empty one. Only what is not known is asked about, in one question."""
        found = {text: answer for text in self.texts if (answer := known.get(text)) is not None}
        texts = [text for text in self.texts if text not in found]
        if texts:
            said = await ask(texts)
            if len(said.answers) != len(texts):
                raise WorkerFault("the worker did not answer for every text")
            for text, answer in zip(texts, said.answers, strict=True):
                found[text] = answer
                if (parts := said.parts(answer)) is not None:
                    known.put(text, answer, parts=parts)
        return self.spread([found[text] for text in self.texts])

    def spread(self, answers: Sequence[T]) -> list[T | None]:
        """An answer per passage. Raises `WorkerFault` unless there is one per text."""
        if len(answers) != len(self.texts):
            raise WorkerFault("the worker did not answer for every text")
        return [None if place is None else answers[place] for place in self.places]


def clean(text: str) -> str:
    """`text` as UTF-8 can carry it, with the same number of code points: nothing matches half a character."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)
