"""From token similarities to scores: how much of what an answer says has support in its context.

What counts is the *unsupported mass*: the share of content-bearing word pieces whose best match in the context falls
short. A mean over all tokens drowns one invented name in function words that match anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gateway.scoring.tokens import Pieces
from gateway.scoring.words import content

# Below the first a piece counts as unsupported, above the second as supported, in between by share.
UNSUPPORTED = 0.5
SUPPORTED = 0.8


def support(best: Tensor) -> Tensor:
    """[n] similarities of answer pieces to their best matches -> [n] in [0, 1]; no context (-inf) is no support."""
    return ((best - UNSUPPORTED) / (SUPPORTED - UNSUPPORTED)).clamp(0, 1)


def weights(text: Pieces) -> Tensor:
    """[n] float32: 1 for the pieces of content words, 0 for the rest; all 1 where nothing carries content."""
    words: dict[int, list[int]] = {}
    for at, word in enumerate(text.words):
        words.setdefault(word, []).append(at)
    mask = torch.zeros(len(text))
    for places in words.values():
        mask[places] = float(content(text.text[text.spans[places[0]][0] : text.spans[places[-1]][1]]))
    return mask if mask.any() else torch.ones(len(text))


def mean_support(supports: Tensor, mass: Tensor) -> float:
    """Weighted mean in [0, 1]; where no weight is, the plain mean."""
    total = mass.sum()
    return float((supports * mass).sum() / total) if total > 0 else float(supports.mean())


def relevance(question: Tensor, answer: Tensor) -> float:
    """Cosine of two unit vectors, what lies below 0 counted as 0."""
    return float((question @ answer).clamp(0, 1))


def within(spans: Sequence[tuple[int, int]], start: int, end: int) -> tuple[int, int]:
    """The run of pieces that begin in characters `start:end`."""
    inside = [at for at, (begin, _) in enumerate(spans) if start <= begin < end]
    return (inside[0], inside[-1] + 1) if inside else (0, 0)
