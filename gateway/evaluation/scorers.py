"""What can be evaluated, by name: rows to scores, higher for the bad. The scorer's own code, in this process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Protocol

import numpy as np

from gateway.evaluation.metrics import Floats
from gateway.evaluation.rows import Row
from gateway.scoring import head, head_text
from gateway.scoring.encoder import Encoder
from gateway.scoring.head_text import Heads
from gateway.scoring.reader import Reader
from gateway.scoring.scorer import Item, Scored, Scorer
from gateway.scoring.weights import load
from kernels.dispatch import ops

AT_ONCE = 16  # rows in one call

Seen = Callable[[int], None]


class Judge(Protocol):
    """[n] scores of rows, higher for the bad; NaN where there is nothing to say. `seen` is told how many are done."""

    def __call__(self, rows: Sequence[Row], seen: Seen) -> Floats: ...


@cache
def encoder() -> Encoder:
    """MiniLM, on a GPU where there is one."""
    return Encoder(load(), ops())


@dataclass(frozen=True, slots=True)
class Pair:
    """A score of an answer and its context."""

    of: Callable[[Scored], float | None]

    def __call__(self, rows: Sequence[Row], seen: Seen) -> Floats:
        scorer = Scorer(Reader(encoder()), ops(), head.load("hallucination"))
        values: list[float | None] = []
        for at in range(0, len(rows), AT_ONCE):
            batch = rows[at : at + AT_ONCE]
            values += map(self.of, scorer.score([item(row) for row in batch]))
            seen(len(batch))
        return np.array([np.nan if value is None else value for value in values])


def item(row: Row) -> Item:
    return Item(row.question, row.context, row.answer)


@dataclass(frozen=True, slots=True)
class Text:
    """A head that judges a text on its own."""

    name: str

    def __call__(self, rows: Sequence[Row], seen: Seen) -> Floats:
        heads = Heads(encoder(), {self.name: head_text.load(self.name)})
        values: list[float] = []
        for at in range(0, len(rows), AT_ONCE):
            batch = rows[at : at + AT_ONCE]
            values += heads.classify([row.answer for row in batch], [self.name])[self.name]
            seen(len(batch))
        return np.array(values)


def _turned(value: float | None) -> float | None:
    return None if value is None else 1 - value


PAIRS: Mapping[str, Judge] = MappingProxyType(
    {
        "hallucination": Pair(lambda scored: scored.hallucination),
        "groundedness": Pair(lambda scored: _turned(scored.groundedness)),
        "relevance": Pair(lambda scored: 1 - scored.relevance),
    }
)
TEXTS: Mapping[str, Judge] = MappingProxyType({name: Text(name) for name in head_text.NAMES})
