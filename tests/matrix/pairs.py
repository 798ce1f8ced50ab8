"""Few combinations that hold every pair of values: what most faults need to show (Kuhn and others, 2004)."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations

Row = dict[str, str]
Fits = Callable[[str, str, str, str], bool]
"""Whether a value of one axis can stand beside one of another."""
_TRIES = 30


def pairwise(axes: Mapping[str, Sequence[str]], fits: Fits, seed: int) -> list[Row]:
    """Rows in which every pair of values that can stand together does so at least once."""
    rng = random.Random(seed)
    left = {(a, x, b, y) for a, b in combinations(axes, 2) for x in axes[a] for y in axes[b] if _both(fits, a, x, b, y)}
    rows: list[Row] = []
    for pair in sorted(left):
        if pair not in left:
            continue
        a, x, b, y = pair
        row = next((r for _ in range(_TRIES) if (r := _filled({a: x, b: y}, axes, fits, left, rng))), None)
        if row is None:
            left.discard(pair)
            continue
        rows.append(row)
        left -= set(_pairs(row, axes))
    return rows


def drawn(axes: Mapping[str, Sequence[str]], fits: Fits, rng: random.Random) -> Row:
    """Any row whose values can stand together."""
    while True:
        row = {axis: rng.choice(values) for axis, values in axes.items()}
        if all(_both(fits, a, row[a], b, row[b]) for a, b in combinations(axes, 2)):
            return row


def _both(fits: Fits, a: str, x: str, b: str, y: str) -> bool:
    return fits(a, x, b, y) and fits(b, y, a, x)


def _pairs(row: Row, axes: Mapping[str, Sequence[str]]) -> list[tuple[str, str, str, str]]:
    return [(a, row[a], b, row[b]) for a, b in combinations(axes, 2)]


def _filled(
    begun: Row, axes: Mapping[str, Sequence[str]], fits: Fits, left: set[tuple[str, str, str, str]], rng: random.Random
) -> Row | None:
    """`begun` with the other axes filled, each by the value that brings most pairs that are still missing."""
    row = dict(begun)
    order = list(axes)
    rank = {axis: n for n, axis in enumerate(order)}
    for axis in rng.sample(order, len(order)):
        if axis in row:
            continue
        able = [v for v in axes[axis] if all(_both(fits, axis, v, b, y) for b, y in row.items())]
        if not able:
            return None
        gains = [sum(_ordered(rank, axis, v, b, y) in left for b, y in row.items()) for v in able]
        best = max(gains)
        row[axis] = rng.choice([v for v, gain in zip(able, gains, strict=True) if gain == best])
    return row


def _ordered(rank: Mapping[str, int], a: str, x: str, b: str, y: str) -> tuple[str, str, str, str]:
    return (a, x, b, y) if rank[a] < rank[b] else (b, y, a, x)
