"""Which sentences of a context a claim is held against: those that cover most of its content words, rare ones first.

Words alone, no vectors: the same choice in training and in the scorer, whatever the encoder has become.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from gateway.scoring.lexical import words

REPEATED = 0.3  # what a word is still worth that a chosen sentence has already: evidence is often said twice
LONG = 24  # word pieces; shorter sentences are not preferred for being short


def stems(text: str) -> frozenset[str]:
    """The stems of a text's content words."""
    return frozenset(word.stem for word in words(text))


def premises(context: Sequence[frozenset[str]], lengths: Sequence[int], claim: frozenset[str], room: int) -> list[int]:
    """The sentences to read, in the order of the context; their `lengths` add up to `room` at most.

    `context` are the stems of its sentences. Where no word is shared, and after those that share one, earlier
    sentences are taken first. Quadratic in the number of sentences chosen, which `room` bounds.
    """
    worth = _worth(context, claim)
    left, kept = [at for at, length in enumerate(lengths) if length <= room], list[int]()
    while left:
        best = max(left, key=lambda at: (_gain(context[at], worth) / max(lengths[at], LONG), -at))
        kept.append(best)
        room -= lengths[best]
        worth = {stem: value * (REPEATED if stem in context[best] else 1.0) for stem, value in worth.items()}
        left = [at for at in left if at != best and lengths[at] <= room]
    return sorted(kept)


def _worth(context: Sequence[frozenset[str]], claim: frozenset[str]) -> dict[str, float]:
    """By stem of the claim, how much it says that a sentence has it: ln(1 + sentences / those that do)."""
    found = Counter(stem for sentence in context for stem in sentence & claim)
    return {stem: math.log1p(len(context) / found[stem]) for stem in sorted(found)}


def _gain(sentence: frozenset[str], worth: dict[str, float]) -> float:
    return sum(value for stem, value in worth.items() if stem in sentence)
