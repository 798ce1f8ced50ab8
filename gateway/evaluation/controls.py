"""What every score is held against: length alone, and words alone. A score that beats neither has learnt nothing."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from gateway.evaluation.metrics import Bools, Floats, Ints
from gateway.evaluation.rows import Row
from gateway.scoring.lexical import known, novel, words

_WORD = re.compile(r"\w+")


def length(rows: Sequence[Row]) -> Floats:
    """Characters of what is judged."""
    return np.array([float(len(row.answer)) for row in rows])


def novelty(rows: Sequence[Row]) -> Floats:
    """How many content words of the answer its context does not have."""
    return np.array([float(len(novel(words(row.answer), known(row.context)))) for row in rows])


def bayes(rows: Sequence[Row], bad: Bools, fold: Ints) -> Floats:
    """Naive Bayes over words, fitted on this very set's other folds: what its vocabulary gives away. [n] log odds."""
    texts = [frozenset(_WORD.findall(row.answer.casefold())) for row in rows]
    scores = np.zeros(len(rows))
    for one in np.unique(fold):
        odds = _odds([texts[at] for at in np.flatnonzero(fold != one)], bad[fold != one])
        for at in np.flatnonzero(fold == one):
            scores[at] = sum(odds.get(word, 0.0) for word in texts[at]) / math.sqrt(max(len(texts[at]), 1))
    return scores


def _odds(texts: Sequence[frozenset[str]], bad: Bools) -> dict[str, float]:
    counts = [
        Counter(word for text, is_bad in zip(texts, bad, strict=True) if is_bad == kind for word in text)
        for kind in (True, False)
    ]
    totals = [int(bad.sum()) + 2, int((~bad).sum()) + 2]
    vocabulary = counts[0].keys() | counts[1].keys()
    return {
        word: math.log((counts[0][word] + 1) / totals[0]) - math.log((counts[1][word] + 1) / totals[1])
        for word in vocabulary
    }
