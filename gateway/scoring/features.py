"""From token similarities and novel words to scores: how much of what an answer says has support in its context.

What counts is the *unsupported mass*: the weight of content-bearing word pieces whose best match in the context falls
short. A mean over all tokens drowns one invented name in function words that match anywhere. Numbers and names weigh
more, for they make a claim; and one that the context does not have has no support, however alike it looks to another.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gateway.scoring.lexical import Word, novel, words
from gateway.scoring.tokens import Pieces

# Below the first a piece counts as unsupported, above the second as supported, in between by share.
UNSUPPORTED = 0.5
SUPPORTED = 0.8
MEANING = 0.5  # a sentence with less support is told to be unlike its context
CLAIM = 3.0  # weight of a number's or a name's piece, where a word's is 1


@dataclass(frozen=True, slots=True)
class Judged:
    """An answer's word pieces: support [n] in [0, 1] and weight [n]; its content words, and those that are new."""

    supports: Tensor
    mass: Tensor
    words: tuple[Word, ...]
    new: frozenset[Word]


def judged(text: Pieces, best: Tensor, known: frozenset[str]) -> Judged:
    """`best` [n] are the similarities of the answer's pieces to their matches, `known` the stems the context has."""
    said = words(text.text)
    new = frozenset(novel(said, known))
    supports, mass = support(best), torch.zeros(len(text))
    for word in said:
        run = slice(*within(text.spans, word.start, word.end))
        claims = word.number or word.name
        mass[run] = CLAIM if claims else 1.0
        if claims and word in new:
            supports[run] = 0.0
    return Judged(supports, mass if mass.any() else torch.ones(len(text)), tuple(said), new)


def support(best: Tensor) -> Tensor:
    """[n] similarities of answer pieces to their best matches -> [n] in [0, 1]; no context (-inf) is no support."""
    return ((best - UNSUPPORTED) / (SUPPORTED - UNSUPPORTED)).clamp(0, 1)


def mean_support(supports: Tensor, mass: Tensor) -> float:
    """Weighted mean in [0, 1]; where no weight is, the plain mean."""
    total = mass.sum()
    return float((supports * mass).sum() / total) if total > 0 else float(supports.mean())


def signals(answer: Judged) -> Mapping[str, float]:
    """What speaks against an answer. Shares are in [0, 1]; 0 is nothing, everywhere.

    `unsupported` is the share of its weight without support, `mass` ln(1 + that weight), `words` the share of content
    words that are new, `numbers` 1 where any number is, `names` ln(1 + how many new names).
    """
    missing = float(((1 - answer.supports) * answer.mass).sum())
    return {
        "unsupported": 1 - mean_support(answer.supports, answer.mass),
        "mass": math.log1p(missing),
        "words": len(answer.new) / max(len(answer.words), 1),
        "numbers": float(any(word.number for word in answer.new)),
        "names": math.log1p(sum(word.name for word in answer.new)),
    }


def fired(answer: Judged, span: tuple[int, int], support: float) -> tuple[str, ...]:
    """What speaks against the sentence at characters `span`: `meaning`, `words`, `numbers`, `names`, in this order."""
    said = [word for word in answer.words if span[0] <= word.start < span[1]]
    new = [word for word in said if word in answer.new]
    found = {
        "meaning": support < MEANING,
        "words": len(new) > len(said) / 2,
        "numbers": any(word.number for word in new),
        "names": any(word.name for word in new),
    }
    return tuple(name for name, speaks in found.items() if speaks)


def relevance(question: Tensor, answer: Tensor) -> float:
    """Cosine of two unit vectors, what lies below 0 counted as 0."""
    return float((question.float() @ answer.float()).clamp(0, 1))


def within(spans: Sequence[tuple[int, int]], start: int, end: int) -> tuple[int, int]:
    """The run of pieces that begin in characters `start:end`."""
    return bisect_left(spans, (start, 0)), bisect_left(spans, (end, 0))
