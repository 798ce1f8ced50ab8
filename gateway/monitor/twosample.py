"""Are two sets of vectors from one distribution? Maximum mean discrepancy with a permutation test, and who differs.

After Gretton et al., "A Kernel Two-Sample Test" (JMLR 2012): the unbiased estimate and an RBF kernel. The null is found
by relabelling the rows, so its level does not depend on the vectors' shape or scale. Everything that is fitted (the
whitening, the width) is fitted on all rows alike, which relabelling leaves as it is: the test is exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

PERMUTATIONS = 199
"""Relabellings of a whole test: the least p-value is 1/200, half the usual level."""

FIRST = 49
"""Relabellings after which a test may end: where this many leave `ENOUGH` above, no level of use can be reached."""

ENOUGH = 10
"""Besag and Clifford (1991): stopping at the h-th relabelling that is as far apart leaves the p-value valid."""

NEAR = 0.35
"""Width of the kernel, of the median distance. What is new sits closer together than traffic does as a whole: narrower
than the median finds more, down to a third of it (`bench/drift.py`)."""

RIDGE = 3.0
"""Of the mean variance, added to each direction's before whitening. What all texts share is no news; 0 would make as
much of noise as of what tells topics apart, and without whitening a tenth fewer new topics were found."""

_ROWS = 512  # whose distances give the median


@dataclass(frozen=True, slots=True)
class Compared:
    """`statistic` is the unbiased MMD², below 0 as often as above where nothing differs; `p` is in (0, 1].

    `witness` [m] tells for every row of the window how much denser the window is around it and its neighbours than the
    reference; `ordinary` [n] the same of the reference with the roles exchanged: what chance does. `before` [n, d]
    and `after` [m, d] are the rows as they were compared: whitened.
    """

    statistic: float
    p: float
    witness: Floats
    ordinary: Floats
    before: Floats
    after: Floats


def mmd(
    reference: NDArray[np.floating],
    window: NDArray[np.floating],
    rng: np.random.Generator,
    *,
    permutations: int = PERMUTATIONS,
    enough: int = ENOUGH,
) -> Compared:
    """Test `window` [m, d] against `reference` [n, d]; both need two rows."""
    n = len(reference)
    if min(n, len(window)) < 2:
        raise ValueError("a test needs two rows on either side")
    rows = whitened(np.concatenate([reference, window]).astype(np.float32))
    kernel = _kernel(rows, rng)
    statistic, p = _permuted(kernel, n, rng, permutations, enough)
    ours, theirs = _witness(kernel[n:, n:], kernel[n:, :n]), _witness(kernel[:n, :n], kernel[:n, n:])
    return Compared(statistic, p, ours, theirs, rows[:n], rows[n:])


def whitened(rows: Floats) -> Floats:
    """`rows` [k, d] less their mean, with their common directions shrunk, of length 1.

    By a Cholesky factor: which square root of the covariance it is does not matter to distances.
    """
    centred = rows - rows.mean(0)
    covariance = centred.T @ centred / len(rows)
    ridge = RIDGE * np.trace(covariance) / len(covariance) or 1.0
    factor = np.linalg.cholesky(covariance + ridge * np.eye(len(covariance), dtype=np.float32))
    found: Floats = centred @ np.linalg.inv(factor).T.astype(np.float32)
    found /= np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
    return found


def _kernel(rows: Floats, rng: np.random.Generator) -> Floats:
    """RBF of `rows` [k, d] of length 1, at `NEAR` of the median distance, with 0 on the diagonal."""
    some = rows[rng.permutation(len(rows))[:_ROWS]]
    squared = 2 - 2 * float(np.median((some @ some.T)[np.triu_indices(len(some), 1)]))
    sharp = np.float32(1 / (max(squared, 1e-6) * NEAR**2))
    near = rows * np.sqrt(sharp)
    kernel: Floats = near @ near.T
    kernel -= sharp  # rows of length 1: their products tell their distances
    np.exp(kernel, out=kernel)
    np.fill_diagonal(kernel, 0)
    return kernel


def _witness(ours: Floats, theirs: Floats) -> Floats:
    """Density among `ours` [m, m] less that among `theirs` [m, n], meant over neighbours: a topic is never one text."""
    near: Floats = ours @ np.ones(
        len(ours), dtype=np.float32
    )  # a product sums rows several times as fast as `sum` does
    own = near / max(1, len(ours) - 1) - theirs @ np.full(theirs.shape[1], 1 / theirs.shape[1], np.float32)
    found: Floats = ((ours @ own) / np.maximum(near, 1e-12)).astype(np.float32)
    return found


def _permuted(kernel: Floats, n: int, rng: np.random.Generator, permutations: int, enough: int) -> tuple[float, float]:
    """The statistic, and the share of relabellings that are as far apart.

    With signs s (+1 reference, -1 window) every relabelling is two numbers, s'Ks and s'K1: the rows' sums are known,
    and one matrix product has all of a batch.
    """
    k = len(kernel)
    sums = (kernel @ np.ones(k, np.float32)).astype(np.float64)
    told = np.where(np.arange(k) < n, 1, -1).astype(np.float32)
    observed = _statistics(kernel, sums, told[:, None], n)[0]
    above = done = 0
    for batch in (min(FIRST, permutations), permutations - FIRST):
        if batch <= 0 or above >= enough:
            break
        signs = rng.permuted(np.tile(told, (batch, 1)), axis=1).T
        above += int((_statistics(kernel, sums, signs, n) >= observed).sum())
        done += batch
    return float(observed), (above + 1) / (done + 1)


def _statistics(kernel: Floats, sums: NDArray[np.float64], signs: Floats, n: int) -> NDArray[np.float64]:
    m = len(kernel) - n
    found: Floats = kernel @ signs
    found *= signs
    quadratic = found.sum(0, dtype=np.float64)
    linear = sums @ signs
    total = sums.sum()
    within, across = (total + quadratic) / 2, (total - quadratic) / 4
    first, second = (within + linear) / 2, (within - linear) / 2
    told: NDArray[np.float64] = first / (n * (n - 1)) + second / (m * (m - 1)) - 2 * across / (n * m)
    return told
