"""Has the distribution of a number or of a class changed? Kolmogorov-Smirnov, chi-squared, and Holm over them all."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gateway.monitor.rows import Sample

DRAWS = 1999
"""Tables drawn for a chi-squared test: the least p-value is 1/2000, small enough for Holm over 20 features at .01."""

LEAST = 30
"""Values either side needs for a test to mean anything."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Shift:
    """One feature before and after; `p` is its own, `adjusted` the one to compare with alpha."""

    feature: str
    test: str  # `ks` for numbers, `chi2` for classes
    statistic: float
    p: float
    adjusted: float
    before: Mapping[str, float]  # quantiles of a number, shares of classes
    after: Mapping[str, float]


def shifts(reference: Sample, window: Sample, rng: np.random.Generator) -> list[Shift]:
    """Every feature that both have, adjusted together."""
    found = [
        *(
            _number(n, reference.numbers[n], window.numbers[n])
            for n in reference.numbers
            if _both(reference, window, n)
        ),
        *(_class(n, reference.classes[n], window.classes[n], rng) for n in reference.classes if n in window.classes),
    ]
    adjusted = holm([one.p for one in found])
    return [
        Shift(one.feature, one.test, one.statistic, one.p, p, one.before, one.after)
        for one, p in zip(found, adjusted, strict=True)
    ]


def ks(reference: Floats, window: Floats) -> tuple[float, float]:
    """The greatest distance of the two distribution functions, and its p-value after Stephens (1970).

    With ties the p-value is too great, never too small.
    """
    both = np.concatenate([reference, window])
    ours = np.searchsorted(np.sort(reference), both, side="right") / len(reference)
    theirs = np.searchsorted(np.sort(window), both, side="right") / len(window)
    distance = float(np.abs(ours - theirs).max())
    size = math.sqrt(len(reference) * len(window) / len(both))
    return distance, _kolmogorov((size + 0.12 + 0.11 / size) * distance)


def _kolmogorov(x: float) -> float:
    if x < 0.3:  # the series converges badly where its sum is 1 to five digits
        return 1.0
    terms = (2 * (-1) ** (k - 1) * math.exp(-2 * k * k * x * x) for k in range(1, 50))
    return min(1.0, max(0.0, math.fsum(terms)))


def chi2(reference: Sequence[int], window: Sequence[int], rng: np.random.Generator) -> tuple[float, float]:
    """Pearson's statistic of a table of two rows, and its p-value among tables with the same margins.

    Drawn, not looked up: rare classes are as they are. The p-value is at least 1/(`DRAWS` + 1).
    """
    first, second = np.asarray(reference), np.asarray(window)
    columns = first + second
    drawn = rng.multivariate_hypergeometric(columns, int(second.sum()), size=DRAWS)
    expected = columns * (second.sum() / columns.sum())
    weight = 1 / expected + 1 / (columns - expected)
    statistic = float(((second - expected) ** 2 * weight).sum())
    others = ((drawn - expected) ** 2 * weight).sum(1)
    return statistic, float(((others >= statistic - 1e-9).sum() + 1) / (DRAWS + 1))


def holm(ps: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values: whoever rejects those up to alpha errs in any with a chance of alpha at most."""
    adjusted, worst = [1.0] * len(ps), 0.0
    for rank, at in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        worst = max(worst, min(1.0, (len(ps) - rank) * ps[at]))
        adjusted[at] = worst
    return adjusted


def _both(reference: Sample, window: Sample, name: str) -> bool:
    return min(len(reference.numbers[name]), len(window.numbers.get(name, ()))) >= LEAST


def _number(name: str, reference: Floats, window: Floats) -> Shift:
    statistic, p = ks(reference, window)
    return Shift(name, "ks", statistic, p, p, _quantiles(reference), _quantiles(window))


def _quantiles(values: Floats) -> dict[str, float]:
    at = (0.1, 0.5, 0.9)
    return {f"p{int(100 * q)}": float(v) for q, v in zip(at, np.quantile(values, at), strict=True)}


def _class(name: str, reference: Mapping[str, int], window: Mapping[str, int], rng: np.random.Generator) -> Shift:
    known = sorted({*reference, *window})
    before, after = ([counts.get(word, 0) for word in known] for counts in (reference, window))
    # One class everywhere leaves nothing to test; 1 is what a test would say.
    statistic, p = chi2(before, after, rng) if len(known) > 1 and min(sum(before), sum(after)) >= LEAST else (0.0, 1.0)
    return Shift(name, "chi2", statistic, p, p, _shares(known, before), _shares(known, after))


def _shares(known: Sequence[str], counts: Sequence[int]) -> dict[str, float]:
    return {word: n / sum(counts) for word, n in zip(known, counts, strict=True) if n}
