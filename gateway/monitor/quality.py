"""Is the model getting worse? Labelled feedback, golden sets and complaints, each told as `Evidence` of a change.

`feedback.received` with a label of `RIGHT` or `WRONG` counts for accuracy; one of `COMPLAINTS`, or a value under 0.5,
as a complaint. Nothing here reads a clock: the same events give the same evidence.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.monitor.sequential import Betting, Cusum, Rise, below, lower, upper

RIGHT = frozenset({"correct", "right", "good"})
WRONG = frozenset({"incorrect", "wrong", "bad"})
COMPLAINTS = frozenset({"complaint", "bad", "unhelpful", "harmful"})

LEARN = 500  # labels, or exchanges, that tell what is usual where the configuration does not
RECENT = 500  # labels that the accuracy that is told is of
NAMED = 20  # exchanges that are told with a signal
LIMIT = 7.0  # of the two cumulative sums: `sequential.arl` tells the rate of false alarms
SURE = 0.95  # of the bounds that are told; nothing is decided by them


@dataclass(slots=True)
class Accuracy:
    """Labels, one by one. `baseline` None is learned from the first `LEARN`.

    Two alarms: `watch` where it fell by about `drop` or more (quick), `sure` where it certainly fell by more.
    """

    drop: float = 0.05
    baseline: float | None = None
    alpha: float = 0.01
    seen: int = 0
    right: int = 0
    recent: deque[bool] = field(default_factory=lambda: deque(maxlen=RECENT))
    wrong: deque[str] = field(default_factory=lambda: deque(maxlen=NAMED))
    cusum: Cusum | None = None
    betting: Betting | None = None
    watch: bool = False
    alarmed: int = 0  # how many labels there were when it alarmed

    def add(self, exchange: str, *, right: bool) -> None:
        self.seen += 1
        self.right += right
        self.recent.append(right)
        if not right:
            self.wrong.append(exchange)
        if self.cusum is None or self.betting is None:
            self._begin()
            return
        before = self.watch or self.sure
        self.watch = self.cusum.add(failed=not right) or self.watch
        self.betting.add(failed=not right)
        if not before and (self.watch or self.sure):
            self.alarmed = self.seen

    @property
    def sure(self) -> bool:
        return self.betting is not None and self.betting.sure

    @property
    def level(self) -> float | None:
        """Share of right answers among the last `RECENT`."""
        return sum(self.recent) / len(self.recent) if self.recent else None

    @property
    def recovered(self) -> bool:
        """Whether the last `RECENT`, all of them after the alarm, are within half of `drop` of the baseline again."""
        if self.level is None or self.baseline is None or self.seen < self.alarmed + RECENT:
            return False
        return self.level >= self.baseline - self.drop / 2

    def again(self) -> None:
        """Test anew, as after a signal that was dealt with."""
        self.watch = False
        self._start()

    def evidence(self) -> dict[str, Any]:
        passed, total = sum(self.recent), len(self.recent)
        return {
            "baseline": self.baseline,
            "accuracy": self.level,
            "labels": total,
            "accuracy_lower": lower(passed, total, 1 - SURE) if total else None,
            "accuracy_upper": upper(passed, total, 1 - SURE) if total else None,
            "cusum": round(self.cusum.sum, 3) if self.cusum else None,
            "log_e_value": round(self.betting.peak, 3) if self.betting else None,
            "exchanges": list(self.wrong),
        }

    def _begin(self) -> None:
        if self.baseline is None and self.seen >= LEARN:
            self.baseline = self.right / self.seen
        if self.baseline is not None:
            self._start()

    def _start(self) -> None:
        usual = self.baseline if self.baseline is not None else 1.0
        failures = min(max(1 - usual, 0.005), 0.99 - self.drop)
        self.cusum = Cusum(failures, failures + self.drop, LIMIT)
        self.betting = Betting(max(0.01, usual - self.drop), self.alpha)


@dataclass(slots=True)
class Complaints:
    """How many of how many exchanges were complained of. `baseline` None is learned from the first `LEARN` of them."""

    rise: float = 2.0
    least: int = 5
    baseline: float | None = None
    seen: int = 0
    count: int = 0
    since: int = 0  # complaints since the sum was last 0
    recent: deque[str] = field(default_factory=lambda: deque(maxlen=NAMED))
    sum: Rise | None = None

    def add(self, complaints: Sequence[str], exchanges: int) -> None:
        """Take in ids of exchanges complained of, among `exchanges` more."""
        self.seen += exchanges
        self.count += len(complaints)
        self.recent.extend(complaints)
        if self.sum is None:
            self._begin()
            return
        self.sum.add(len(complaints), exchanges)
        self.sum.sum = min(self.sum.sum, 2 * LIMIT)  # so that a rise that is over is over soon
        self.since = self.since + len(complaints) if self.sum.sum > 0 else 0

    @property
    def risen(self) -> bool:
        return self.sum is not None and self.sum.sum >= LIMIT and self.since >= self.least

    @property
    def recovered(self) -> bool:
        return self.sum is not None and self.sum.sum <= 0

    def again(self) -> None:
        self.since = 0
        self._start()

    def evidence(self) -> dict[str, Any]:
        return {
            "baseline": self.baseline,
            "complaints": self.count,
            "exchanges_seen": self.seen,
            "cusum": round(self.sum.sum, 3) if self.sum else None,
            "exchanges": list(self.recent),
        }

    def _begin(self) -> None:
        if self.baseline is None and self.seen >= LEARN:
            self.baseline = self.count / self.seen
        if self.baseline is not None:
            self._start()

    def _start(self) -> None:
        usual = max(self.baseline or 0.0, 1 / LEARN)  # none among so few is not never
        self.sum = Rise(usual, usual * self.rise, LIMIT)


@dataclass(frozen=True, slots=True)
class Golden:
    """One run of a golden set: `passed` of `total`. `usual` is the share that passed when it was first run."""

    name: str
    passed: int
    total: int
    usual: float

    def fell(self, drop: float, alpha: float) -> bool:
        """Whether so few would pass with a chance of `alpha` at most, had it fallen by `drop` and no more."""
        return below(self.passed, self.total, max(0.0, min(1.0, self.usual - drop))) <= alpha

    def dropped(self, drop: float) -> bool:
        return self.passed / self.total < self.usual - drop

    def evidence(self) -> dict[str, Any]:
        share = self.passed / self.total
        return {"golden": self.name, "baseline": self.usual, "accuracy": share, "labels": self.total}


def label(event: Mapping[str, Any]) -> bool | None:
    """Whether feedback says that an answer was right; None where it does not say."""
    word = str(event.get("label") or "").strip().lower()
    return True if word in RIGHT else False if word in WRONG else None


def complains(event: Mapping[str, Any]) -> bool:
    value = event.get("value")
    word = str(event.get("label") or "").strip().lower()
    return word in COMPLAINTS or (isinstance(value, int | float) and value < 0.5)


def golden(told: Any, usual: Mapping[str, float]) -> Golden:
    """A run from JSON: `{"set", "passed", "total"}`, or with `results` [{"passed": bool}]. Raises ValueError."""
    match told:
        case {"set": str(name), "passed": int(passed), "total": int(total)} if 0 <= passed <= total and total:
            return Golden(name, passed, total, usual.get(name, passed / total))
        case {"set": str(name), "results": [_, *_] as results} if all(isinstance(r, dict) for r in results):
            passed = sum(bool(result.get("passed")) for result in results)
            return Golden(name, passed, len(results), usual.get(name, passed / len(results)))
    raise ValueError("a golden set's run has `set`, `passed` and `total`, or `results`")
