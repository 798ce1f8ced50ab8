"""Fits the head of answers and contexts: few signals, logistic, no weight negative, all sources of rows alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gateway.evaluation.metrics import Bools, Floats
from gateway.evaluation.rows import Row
from gateway.evaluation.scorers import AT_ONCE, encoder, item
from gateway.scoring.head import Head
from gateway.scoring.reader import Reader
from gateway.scoring.scorer import Scorer
from kernels.dispatch import ops

FEATURES = ("unsupported", "mass", "numbers", "names")
RIDGE = 0.3  # on standardised features: keeps correlated ones together, which carries over to other sets better


@dataclass(frozen=True, slots=True)
class Paired:
    """A head; of all rows, whether there was anything to judge [n]; of those, what a head said that had not seen their
    family of sets (the source up to its `/`).
    """

    head: Head
    told: Bools
    held: Floats


def paired(rows: Sequence[Row], seen: Callable[[int], None]) -> Paired:
    features = read(rows, seen)
    told: Bools = np.asarray(~np.isnan(features).any(axis=1), dtype=np.bool_)
    kept = [row for row, one in zip(rows, told, strict=True) if one]
    x, bad = features[told], np.array([row.bad for row in kept])
    source = np.array([row.source for row in kept])
    family = np.array([one.split("/")[0] for one in source])
    z = np.zeros(len(kept))
    for one in np.unique(family):
        rest = family != one if len(np.unique(family)) > 1 else np.ones(len(kept), dtype=bool)
        weights, bias = _fitted(x[rest], bad[rest], balanced(source[rest], bad[rest]))
        z[family == one] = x[family == one] @ weights + bias
    # The scale comes of what heads say of families they have not seen: of those they have, they are too sure.
    scale, shift = _platt(z, bad, balanced(source, bad))
    weights, bias = _fitted(x, bad, balanced(source, bad))
    weights, bias = scale * weights, scale * bias + shift
    head = Head(dict(zip(FEATURES, map(float, weights), strict=True)), float(bias))
    return Paired(head, told, _sigmoid(scale * z + shift))


def read(rows: Sequence[Row], seen: Callable[[int], None]) -> Floats:
    """[n, F] signals; NaN where there is no context or no answer."""
    scorer, found = Scorer(Reader(encoder()), ops(), Head({}, 0.0)), []
    for at in range(0, len(rows), AT_ONCE):
        batch = rows[at : at + AT_ONCE]
        scores = scorer.score([item(row) for row in batch])
        found += [[scored.signals.get(name, np.nan) for name in FEATURES] for scored in scores]
        seen(len(batch))
    return np.array(found, dtype=np.float64)


def balanced(source: NDArray[np.str_], bad: Bools) -> Floats:
    """Every family, every set of it and both labels weigh the same.

    Sets with one label only would teach which set it is; they weigh nothing, unless all are like that.
    """
    both = [one for one in sorted(set(source)) if len(set(bad[source == one])) == 2] or sorted(set(source))
    weight = np.zeros(len(bad))
    families = {one.split("/")[0] for one in both}
    for one in both:
        siblings = len({other for other in both if other.split("/")[0] == one.split("/")[0]})
        for kind in (True, False):
            at = (source == one) & (bad == kind)
            if at.any():
                weight[at] = 1 / (2 * at.sum() * siblings * len(families))
    return np.asarray(weight / weight.sum())


def _fitted(x: Floats, bad: Bools, weight: Floats) -> tuple[Floats, float]:
    """Projected gradient on standardised features: [F] weights of the features as they are, and a bias."""
    spread = np.maximum(x.std(0), 1e-9)
    scaled, w, b = x / spread, np.zeros(x.shape[1]), 0.0
    for _ in range(3000):
        gap = weight * (_sigmoid(scaled @ w + b) - bad)
        w = np.maximum(w - 0.5 * (scaled.T @ gap + 2 * RIDGE * w), 0)
        b = float(b - 0.5 * gap.sum())
    return w / spread, b


def _platt(z: Floats, bad: Bools, weight: Floats) -> tuple[float, float]:
    """Scale and shift of log odds, by Newton's steps."""
    scale, shift = 1.0, 0.0
    for _ in range(100):
        said = _sigmoid(scale * z + shift)
        gap, bend = weight * (said - bad), weight * said * (1 - said)
        slope = np.array([(gap * z).sum(), gap.sum()])
        cross = (bend * z).sum()
        matrix = np.array([[(bend * z * z).sum(), cross], [cross, bend.sum()]]) + 1e-9 * np.eye(2)
        step = np.linalg.solve(matrix, slope)
        scale, shift = scale - float(step[0]), shift - float(step[1])
    return scale, shift


def _sigmoid(z: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(z, -500, 500))))
