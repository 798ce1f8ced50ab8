"""Figures of a score against labels. Scores are higher for the bad; `bad` is boolean. Pure numpy, ties counted half."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

DRAWS = 1_000
RECALL = 0.9
BINS = 10


def auroc(scores: Floats, bad: Bools) -> float:
    """The chance that a bad one scores above a good one; NaN where there is only one kind."""
    good, worse = int((~bad).sum()), int(bad.sum())
    if not good or not worse:
        return float("nan")
    _, at, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[at]
    return float((ranks[bad].sum() - worse * (worse + 1) / 2) / (worse * good))


def curve(scores: Floats, bad: Bools) -> tuple[Floats, Floats, Floats]:
    """Thresholds, descending, and the counts of bad and of good ones that score that or more."""
    order = np.argsort(-scores, kind="stable")
    last = np.r_[np.flatnonzero(np.diff(scores[order])), len(scores) - 1]
    hits, alarms = np.cumsum(bad[order]), np.cumsum(~bad[order])
    return scores[order][last], hits[last].astype(np.float64), alarms[last].astype(np.float64)


def auprc(scores: Floats, bad: Bools) -> float:
    """Average precision: precision at every threshold, weighted by the recall it adds."""
    if not bad.any():
        return float("nan")
    _, hits, alarms = curve(scores, bad)
    added = np.diff(np.r_[0.0, hits]) / bad.sum()
    return float((added * hits / (hits + alarms)).sum())


def alarms_at(scores: Floats, bad: Bools, recall: float = RECALL) -> float:
    """The share of good ones that score as high as what finds `recall` of the bad."""
    if not bad.any() or bad.all():
        return float("nan")
    _, hits, alarms = curve(scores, bad)
    return float(alarms[np.argmax(hits >= recall * bad.sum() - 1e-9)] / (~bad).sum())


@dataclass(frozen=True, slots=True)
class Decided:
    """What thresholds say that were chosen without the group of rows they judge; `threshold` is the one of all rows."""

    threshold: float
    f1: float
    balanced: float
    recall: float
    alarms: float


def decided(scores: Floats, bad: Bools, fold: Ints) -> Decided:
    """By the threshold of best balanced accuracy on the other folds. NaN throughout where there is only one kind."""
    if not bad.any() or bad.all():
        return Decided(*[float("nan")] * 5)
    said = np.zeros(len(bad), dtype=bool)
    for one in np.unique(fold):
        rest = fold != one
        chosen = rest if bad[rest].any() and not bad[rest].all() else np.ones_like(rest)
        said[~rest] = scores[~rest] >= best(scores[chosen], bad[chosen])
    return Decided(best(scores, bad), *_rates(said, bad))


def at(scores: Floats, bad: Bools, threshold: float) -> Decided:
    """What one threshold, chosen elsewhere, says: what scores above it is called bad."""
    return Decided(threshold, *_rates(scores > threshold, bad))


def best(scores: Floats, bad: Bools) -> float:
    """The threshold of best balanced accuracy, half-way to the next score below it."""
    values, hits, alarms = curve(scores, bad)
    chosen = int(np.argmax(hits / bad.sum() - alarms / (~bad).sum()))
    return float(values[chosen] if chosen + 1 == len(values) else (values[chosen] + values[chosen + 1]) / 2)


def _rates(said: Bools, bad: Bools) -> tuple[float, float, float, float]:
    hits, alarms = int((said & bad).sum()), int((said & ~bad).sum())
    recall = hits / bad.sum() if bad.any() else float("nan")
    false = alarms / (~bad).sum() if not bad.all() else float("nan")
    f1 = 2 * hits / (2 * hits + alarms + int((~said & bad).sum())) if bad.any() else float("nan")
    return f1, float((recall + 1 - false) / 2), float(recall), float(false)


def interval(
    figure: Callable[[Floats, Bools], float], scores: Floats, bad: Bools, group: Ints, draws: int = DRAWS
) -> tuple[float, float]:
    """The bootstrap's 95 % interval of a figure; whole groups are drawn, for rows of one document are not independent.

    The same for the same input.
    """
    members = [np.flatnonzero(group == one) for one in np.unique(group)] if len(np.unique(group)) < len(group) else None
    dice, values = np.random.default_rng(0), []
    for _ in range(draws):
        if members is None:
            rows = dice.integers(0, len(bad), len(bad))
        else:
            rows = np.concatenate([members[one] for one in dice.integers(0, len(members), len(members))])
        value = figure(scores[rows], bad[rows])
        if not np.isnan(value):
            values.append(value)
    return _quantiles(values)


def _quantiles(values: Sequence[float]) -> tuple[float, float]:
    if not values:
        return float("nan"), float("nan")
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


@dataclass(frozen=True, slots=True)
class Bin:
    said: float
    was: float
    n: int


def reliability(scores: Floats, bad: Bools, bins: int = BINS) -> list[Bin]:
    """Probabilities in bins of equal width: what was said on average, and the share that was bad. No empty ones."""
    at = np.minimum((scores * bins).astype(int), bins - 1)
    found = [(at == one) for one in range(bins)]
    return [Bin(float(scores[x].mean()), float(bad[x].mean()), int(x.sum())) for x in found if x.any()]


def calibration_error(scores: Floats, bad: Bools, bins: int = BINS) -> float:
    """Expected calibration error: the bins' gaps, weighted by their rows."""
    return sum(one.n * abs(one.said - one.was) for one in reliability(scores, bad, bins)) / len(bad)


def folds(group: Ints, count: int = 5) -> Ints:
    """[n] fold numbers: whole groups, the largest first, each into the fold that has least."""
    _, at, sizes = np.unique(group, return_inverse=True, return_counts=True)
    room, fold = np.zeros(count, dtype=np.int64), np.zeros(len(sizes), dtype=np.int64)
    for one in np.argsort(-sizes, kind="stable"):
        fold[one] = int(np.argmin(room))
        room[fold[one]] += sizes[one]
    return fold[at]
