"""How the exchanges of a span went, in steps of equal length."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

SAMPLED = 512  # times of one step that are kept, chosen at random
QUANTILES = (0.50, 0.95, 0.99)
SCORES = ("relevance", "groundedness", "hallucination", "toxicity")


@dataclass(slots=True)
class Step:
    """The exchanges that ended in one step."""

    exchanges: int = 0
    failed: int = 0
    refused: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float = 0.0
    timed: int = 0
    totals: array[float] = field(default_factory=lambda: array("f"))  # ms
    firsts: array[float] = field(default_factory=lambda: array("f"))  # ms, of streams
    scores: dict[str, list[float]] = field(default_factory=dict)  # by metric: their sum, their number


@dataclass(slots=True)
class Course:
    """The last `length` steps of `seconds` each; older ones are forgotten."""

    seconds: int
    length: int
    steps: dict[int, Step] = field(default_factory=dict)
    random: Random = field(default_factory=lambda: Random(0))  # noqa: S311 - a sample, not a secret

    def add(self, event: Mapping[str, Any], at: float) -> None:
        """An `exchange.completed` of the instant `at`."""
        step = self._step(at)
        step.exchanges += 1
        step.failed += event["outcome"] == "failed"
        step.refused += event["outcome"] in {"blocked", "unavailable"}
        step.input_tokens += event["input_tokens"] or 0
        step.output_tokens += event["output_tokens"] or 0
        step.usd += event["cost_usd"] or 0.0
        if event["total_ms"] is not None and event["outcome"] == "completed":
            step.timed += 1
            self._keep(step.totals, event["total_ms"], step.timed)
            if event["first_token_ms"] is not None:
                self._keep(step.firsts, event["first_token_ms"], step.timed)

    def score(self, scores: Mapping[str, float], at: float) -> None:
        """What a `score.recorded` of the instant `at` says."""
        step = self._step(at)
        for name in SCORES:
            if name in scores:
                sum_ = step.scores.setdefault(name, [0.0, 0.0])
                sum_[0] += scores[name]
                sum_[1] += 1

    def told(self, now: float) -> dict[str, list[float | None]]:
        """Columns, a value a step; None where a step has nothing to say of it."""
        last = int(now // self.seconds)
        rows = [_row(self.steps.get(n)) for n in range(last - self.length + 1, last + 1)]
        times: list[float | None] = [float(n * self.seconds) for n in range(last - self.length + 1, last + 1)]
        return {"time": times, **{name: [row[name] for row in rows] for name in _NAMES}}

    def times(self, now: float) -> dict[str, float | None]:
        """Quantiles of the total time of the whole span, in ms."""
        first = int(now // self.seconds) - self.length
        totals = sorted(time for n, step in self.steps.items() if n > first for time in step.totals)
        return {_percentile(q): quantile(totals, q) for q in QUANTILES}

    def _step(self, at: float) -> Step:
        number = int(at // self.seconds)
        if number not in self.steps:
            self.steps[number] = Step()
            newest = max(self.steps)
            for old in [n for n in self.steps if n <= newest - self.length]:
                del self.steps[old]
        return self.steps.get(number) or Step()

    def _keep(self, times: array[float], value: float, seen: int) -> None:
        if len(times) < SAMPLED:
            times.append(value)
        elif (at := self.random.randrange(seen)) < SAMPLED:
            times[at] = value


def _row(step: Step | None) -> dict[str, float | None]:
    step = step or Step()
    totals, firsts = sorted(step.totals), sorted(step.firsts)
    return {
        "exchanges": step.exchanges,
        "failed": step.failed,
        "refused": step.refused,
        "input_tokens": step.input_tokens,
        "output_tokens": step.output_tokens,
        "usd": round(step.usd, 9),
        **{_percentile(q): quantile(totals, q) for q in QUANTILES},
        "first_p50": quantile(firsts, 0.5),
        **dict(_means(step)),
    }


def _means(step: Step) -> Iterator[tuple[str, float | None]]:
    for name in SCORES:
        total, count = step.scores.get(name, (0.0, 0.0))
        yield name, round(total / count, 4) if count else None


def quantile(ordered: Sequence[float], q: float) -> float | None:
    """The least value that a share `q` of `ordered` does not exceed; None of nothing."""
    return round(ordered[min(len(ordered) - 1, int(q * len(ordered)))], 3) if ordered else None


def _percentile(q: float) -> str:
    return f"p{q * 100:.0f}"


_NAMES = tuple(_row(None))
