"""Which rows must not be split: those of one group or one context, and texts that share a run of words."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Sequence

from gateway.evaluation.rows import Row

RUN = 8  # words that two texts have in common and nobody writes twice by chance
_WORD = re.compile(r"\w+")


def groups(rows: Sequence[Row]) -> list[int]:
    """A number per row: the first row that it hangs together with, directly or over others."""
    parent = list(range(len(rows)))
    first: dict[Hashable, int] = {}
    for at, row in enumerate(rows):
        for key in _keys(row):
            other = first.setdefault(key, at)
            if other != at:
                one, two = sorted((_root(parent, at), _root(parent, other)))
                parent[two] = one
    return [_root(parent, at) for at in range(len(rows))]


def _keys(row: Row) -> Iterator[Hashable]:
    if row.group:
        yield row.source, row.group
    if row.context:
        yield row.context
        return
    words = _WORD.findall(row.answer.casefold())
    for at in range(max(1, len(words) - RUN + 1)):
        yield " ".join(words[at : at + RUN])


def _root(parent: list[int], at: int) -> int:
    while parent[at] != at:
        parent[at] = parent[parent[at]]
        at = parent[at]
    return at
