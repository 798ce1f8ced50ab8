"""The same text twice, or almost: groups of texts whose words in threes are mostly the same.

One permutation hashing with rotation (Shrivastava & Li, 2014) proposes pairs, their Jaccard similarity decides.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from zlib import crc32

BINS = 64
BANDS = 32  # of two bins: two texts that are alike to .8 are proposed with probability 1 - (1 - .64)^32 > .9999
ALIKE = 0.8

_WORDS = re.compile(r"\w+")
_EMPTY = -1


def shingles(text: str) -> frozenset[int]:
    """Three words each; of shorter texts, all of them."""
    words = _WORDS.findall(text.casefold())
    three = [" ".join(words[n : n + 3]) for n in range(max(1, len(words) - 2))]
    return frozenset(crc32(one.encode("utf-8", "replace")) for one in three)


def sketch(found: frozenset[int]) -> tuple[int, ...]:
    """The least of each bin; an empty bin has what the next one has that is not."""
    bins = [_EMPTY] * BINS
    for shingle in found:
        mixed = (shingle * 0x9E3779B1) & 0xFFFFFFFF
        place, rest = mixed % BINS, mixed // BINS
        if bins[place] == _EMPTY or rest < bins[place]:
            bins[place] = rest
    return tuple(bins[_next(bins, n)] for n in range(BINS))


def _next(bins: Sequence[int], n: int) -> int:
    for step in range(BINS):
        if bins[(n + step) % BINS] != _EMPTY:
            return (n + step) % BINS
    return n


@dataclass(slots=True)
class Groups:
    """Which are in one group: union and find."""

    parent: list[int]

    def find(self, n: int) -> int:
        while self.parent[n] != n:
            self.parent[n] = self.parent[self.parent[n]]
            n = self.parent[n]
        return n

    def join(self, a: int, b: int) -> None:
        first, second = sorted((self.find(a), self.find(b)))
        self.parent[second] = first


@dataclass(slots=True)
class Near:
    """Texts, one after the other, each compared with those before. `alike` is the similarity that counts."""

    alike: float = ALIKE
    seen: list[frozenset[int]] = field(default_factory=list)
    bands: dict[tuple[int, ...], list[int]] = field(default_factory=dict)

    def add(self, text: str) -> list[int]:
        """The numbers of those before that are like `text`; then it is one of them."""
        like, found, number = self.like(text), shingles(text), len(self.seen)
        self.seen.append(found)
        for key in self._keys(found):
            held = self.bands.setdefault(key, [])
            if len(held) < 32:  # what hundreds have in common, a greeting, proposes nothing new
                held.append(number)
        return like

    def like(self, text: str) -> list[int]:
        """The numbers of those that are like `text`."""
        found = shingles(text)
        proposed = {other for key in self._keys(found) for other in self.bands.get(key, ())}
        return sorted(other for other in proposed if jaccard(found, self.seen[other]) >= self.alike)

    def _keys(self, found: frozenset[int]) -> list[tuple[int, ...]]:
        bins, width = sketch(found), BINS // BANDS
        return [(n, *bins[n * width : (n + 1) * width]) for n in range(BANDS)]


def jaccard(a: frozenset[int], b: frozenset[int]) -> float:
    """The share of what is in either that is in both."""
    return len(a & b) / len(a | b) if a or b else 1.0


def groups(texts: Sequence[str], alike: float = ALIKE) -> list[int]:
    """For each text the number of the first of its group."""
    near, found = Near(alike), Groups(list(range(len(texts))))
    for number, text in enumerate(texts):
        for other in near.add(text):
            found.join(number, other)
    return [found.find(n) for n in range(len(texts))]
