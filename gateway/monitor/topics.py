"""What a window is about that its reference was not: the rows that stand out, in groups, with a name for each."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from gateway.monitor.rows import Sample
from gateway.monitor.twosample import Compared, Floats

CHANCE = 0.95
"""Rows stand out that stand out more than this share of the reference's do from the window."""

MOST = 300  # rows that are grouped: the most outstanding
LEAST = 0.02  # of the window, and five rows: a smaller group is no topic
SHARED = 5  # exchanges that must have a word before it is told: what one person wrote is not
TERMS = 5
EXAMPLES = 5

SAME = 0.75
"""Cosine of two groups' centres, from which they are one topic found again."""


@dataclass(frozen=True, slots=True)
class Topic:
    """`rows` are places in the window, the most outstanding first; `before` is its share of the reference."""

    id: str
    rows: Sequence[int]
    terms: Sequence[str]
    centre: NDArray[np.float32]
    share: float
    before: float

    @property
    def name(self) -> str:
        return ", ".join(self.terms) if self.terms else self.id


@dataclass(slots=True)
class Known:
    """Topics' centres by id, so that one that is found again keeps its name."""

    centres: dict[str, NDArray[np.float32]] = field(default_factory=dict)

    def id(self, centre: NDArray[np.float32], taken: Collection[str] = ()) -> str:
        """The name of the topic at `centre`: one of those known that is not `taken`, or a new one."""
        free = {name: other for name, other in self.centres.items() if name not in taken}
        near = {name: float(other @ centre) for name, other in free.items() if len(other) == len(centre)}
        best = max(near, key=near.__getitem__, default="")
        if best and near[best] >= SAME:
            return best
        name = "topic-" + sha256(centre.astype("<f2").tobytes()).hexdigest()[:8]
        self.centres[name] = centre
        return name


def topics(window: Sample, found: Compared, known: Known) -> list[Topic]:
    """The groups among the rows that stand out, the largest first."""
    rows = outstanding(found)
    least = max(5, math.ceil(LEAST * len(window)))
    groups = [rows[group] for group in grouped(found.after[rows], _likeness(found.before)) if len(group) >= least]
    told: list[Topic] = []
    for group in sorted(groups, key=len, reverse=True):
        told.append(_topic(group, window, found, known, [topic.id for topic in told]))
    return told


def outstanding(found: Compared) -> NDArray[np.intp]:
    """Places of the window's rows that stand out more than chance has it, the most outstanding first."""
    chance = float(np.quantile(found.ordinary, CHANCE))
    order = np.argsort(-found.witness, kind="stable")[:MOST]
    return order[found.witness[order] > max(chance, 0.0)]


def grouped(rows: Floats, likeness: float) -> list[NDArray[np.intp]]:
    """Agglomerative clustering by average cosine: groups that are less alike than `likeness` stay apart."""
    groups = [[at] for at in range(len(rows))]
    if not groups:
        return []
    like = (rows @ rows.T).astype(np.float64)
    np.fill_diagonal(like, -np.inf)
    sizes = np.ones(len(rows))
    while True:
        a, b = divmod(int(like.argmax()), len(rows))
        if like[a, b] < likeness:
            return [np.array(group) for group, size in zip(groups, sizes, strict=True) if size]
        groups[a] += groups[b]
        merged = (like[a] * sizes[a] + like[b] * sizes[b]) / (sizes[a] + sizes[b])
        sizes[a], sizes[b] = sizes[a] + sizes[b], 0
        like[a], like[:, a] = merged, merged
        like[b], like[:, b] = -np.inf, -np.inf
        like[a, a] = -np.inf


def _likeness(rows: Floats) -> float:
    """What two texts of one subject have in common: more than 85 in 100 pairs of ordinary ones."""
    some = rows[:: max(1, len(rows) // 400)]
    pairs = (some @ some.T)[np.triu_indices(len(some), 1)]
    return float(np.quantile(pairs, 0.85)) if len(pairs) else 0.3


def _topic(group: NDArray[np.intp], window: Sample, found: Compared, known: Known, taken: Collection[str]) -> Topic:
    middle = found.after[group].mean(0)
    near = found.after[group] @ middle
    before = float((found.before @ middle >= np.quantile(near, 0.25)).mean())  # three in four of the group are as near
    told = _terms([window.words[at] for at in group], _others(window, group))
    centre = window.vectors[group].astype(np.float32).mean(0)  # as they came: whitening differs from check to check
    centre /= max(float(np.linalg.norm(centre)), 1e-12)
    return Topic(known.id(centre, taken), group.tolist(), told, centre, len(group) / len(window), before)


def _others(window: Sample, group: NDArray[np.intp]) -> list[Sequence[str]]:
    inside = set(group.tolist())
    return [words for at, words in enumerate(window.words) if at not in inside]


def _terms(inside: Sequence[Sequence[str]], outside: Sequence[Sequence[str]]) -> list[str]:
    """Words that `SHARED` texts of the group have, by how much more often they stand in it than elsewhere."""
    ours, theirs = _counted(inside), _counted(outside)
    weight = {
        word: count * math.log((count / len(inside)) / ((theirs.get(word, 0) + 1) / (len(outside) + 1)))
        for word, count in ours.items()
        if count >= SHARED
    }
    return [word for word in sorted(weight, key=lambda word: (-weight[word], word)) if weight[word] > 0][:TERMS]


def _counted(texts: Sequence[Sequence[str]]) -> Mapping[str, int]:
    return Counter(word for words in texts for word in dict.fromkeys(words))
