"""Tests that may be looked at after every answer: a change is told when it is sure enough, and not before.

`Cusum` is quick and has a known rate of false alarms; `Betting` says "the accuracy is below this" at a level that holds
however often it is asked; `Rise` is the first one for counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

BLOCK = 100
"""Answers between two starts of a bet. A change is found by the start just before it."""

STARTS = 256
"""Bets that are kept; the poorest is given up, which can only make a test slower."""

STAKES = (0.05, 0.1, 0.2, 0.4)
"""Shares of the largest bet that is allowed: small drops need small ones."""


@dataclass(slots=True)
class Cusum:
    """Page's test that the share of failures went from `before` to `after`: alarms where `sum` reaches `limit`.

    `limit` is in nats of the likelihood ratio. At 7 and 0.10 → 0.15 a false alarm comes every 160,000 answers or so:
    `arl` has the exact number.
    """

    before: float
    after: float
    limit: float = 7.0
    sum: float = 0.0

    def add(self, *, failed: bool) -> bool:
        """Take in one answer; whether there is an alarm. The sum goes on: whoever acts on it sets it to 0."""
        self.sum = max(0.0, self.sum + self._steps()[1 if failed else 0])
        return self.sum >= self.limit

    def _steps(self) -> tuple[float, float]:
        return math.log((1 - self.after) / (1 - self.before)), math.log(self.after / self.before)


def arl(cusum: Cusum, failures: float, cells: int = 700) -> float:
    """Answers until `cusum` alarms, on average, where the share of failures is `failures`.

    Brook and Evans' Markov chain (Biometrika, 1972) over `cells` values of the sum.
    """
    width = cusum.limit / cells
    moves = np.zeros((cells, cells + 1))
    for step, share in zip(cusum._steps(), (1 - failures, failures), strict=True):  # noqa: SLF001 - of this module
        to = np.minimum(np.maximum(np.arange(cells) + step / width, 0), cells)
        low = np.minimum(to.astype(int), cells - 1)
        np.add.at(moves, (np.arange(cells), low), share * (1 - (to - low)))  # to both neighbours: without a drift
        np.add.at(moves, (np.arange(cells), low + 1), share * (to - low))
    return float(np.linalg.solve(np.eye(cells) - moves[:, :cells], np.ones(cells))[0])


@dataclass(slots=True)
class Rise:
    """`Cusum` for how many of many: the rate of events went from `before` to `after` an exchange."""

    before: float
    after: float
    limit: float = 7.0
    sum: float = 0.0

    def add(self, events: int, exchanges: int) -> bool:
        """Take in `events` among `exchanges` more; whether there is an alarm."""
        gained = events * math.log(self.after / self.before) - exchanges * (self.after - self.before)
        self.sum = max(0.0, self.sum + gained)
        return self.sum >= self.limit


@dataclass(slots=True)
class Betting:
    """Tests that accuracy is `floor` or more, for ever: where it is, `sure` is ever said with a chance of `alpha`.

    A gambler bets on failures at odds that are fair at `floor` (Waudby-Smith and Ramdas, 2023). A new one starts after
    every `BLOCK` answers, the n-th with 1/((n+1)(n+2)) of the money: together they have 1, so Ville's inequality holds
    for the sum, and a change after years of good answers is found as well.
    """

    floor: float
    alpha: float = 0.01
    seen: int = 0
    peak: float = 0.0  # of the log of the money
    starts: list[int] = field(default_factory=list)
    money: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, len(STAKES))))  # its log

    def add(self, *, failed: bool) -> bool:
        """Take in one answer; whether it is sure, now or before, that accuracy is below `floor`."""
        if self.seen % BLOCK == 0:
            self._start(self.seen // BLOCK)
        self.seen += 1
        self.money = self.money + self._gains()[1 if failed else 0]
        self.peak = max(self.peak, self.log_money)
        return self.sure

    @property
    def sure(self) -> bool:
        return self.peak >= -math.log(self.alpha)

    @property
    def log_money(self) -> float:
        top = float(self.money.max())
        return top + math.log(float(np.exp(self.money - top).sum()))

    def _start(self, number: int) -> None:
        share = -math.log((number + 1) * (number + 2)) - math.log(len(STAKES))
        self.starts.append(number)
        self.money = np.concatenate([self.money, np.full((1, len(STAKES)), share)])
        if len(self.starts) > STARTS:
            poorest = int(self.money.max(1).argmin())
            del self.starts[poorest]
            self.money = np.delete(self.money, poorest, axis=0)

    def _gains(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The log of what a stake is multiplied with by a right answer, and by a failure: 1 on average at `floor`."""
        stakes = np.array(STAKES) / (1 - self.floor)
        return np.log1p(-stakes * (1 - self.floor)), np.log1p(stakes * self.floor)


def lower(passed: int, total: int, alpha: float) -> float:
    """A bound that the true share is below with a chance of `alpha` (Clopper and Pearson, one-sided)."""
    return 0.0 if passed == 0 else _root(lambda p: 1 - below(passed - 1, total, p) - alpha)


def upper(passed: int, total: int, alpha: float) -> float:
    """… and one that it is above with a chance of `alpha`."""
    return 1.0 if passed == total else _root(lambda p: alpha - below(passed, total, p))


def below(passed: int, total: int, share: float) -> float:
    """The chance of `passed` or fewer of `total`, each with a chance of `share`."""
    return math.fsum(_binomial(range(passed + 1), total, share))


def _binomial(numbers: Iterable[int], total: int, share: float) -> Iterable[float]:
    if share in {0.0, 1.0}:
        return [float(k == share * total) for k in numbers]
    whole, yes, no = math.lgamma(total + 1), math.log(share), math.log1p(-share)
    return [
        math.exp(whole - math.lgamma(k + 1) - math.lgamma(total - k + 1) + k * yes + (total - k) * no) for k in numbers
    ]


def _root(rising: Callable[[float], float]) -> float:
    """Where a function that rises with its argument is 0, between 0 and 1."""
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if rising(middle) > 0 else (middle, high)
    return low
