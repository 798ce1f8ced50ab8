"""What a window of time adds up to: quality, cost, latency, safety and drift, as one row of numbers."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.telemetry.span import instant

Event = Mapping[str, Any]
Row = dict[str, float]


@dataclass(slots=True)
class Window:
    """One stretch of time; `number` counts them since 1970."""

    number: int
    outcomes: Counter[str] = field(default_factory=Counter)
    sums: Counter[str] = field(default_factory=Counter)
    seen: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def take(self, event: Event) -> None:
        match event["event"]:
            case "exchange.completed":
                self._exchange(event)
            case "score.recorded":
                for metric, value in event["scores"].items():
                    self.seen[f"quality/{metric}"].append(value)
            case "feedback.received":
                self._feedback(event)
            case "drift.detected" | "drift.cleared":
                found = event["event"] == "drift.detected"
                self.sums[f"drift/{event['stream']}/detected"] += found
                self.seen[f"drift/{event['stream']}/p_value"].append(event["p_value"])
            case "signal.raised":
                self.sums[f"signals/{event['signal']}"] += 1

    def row(self) -> Row:
        """By name. What did not happen is absent, but for counts and sums of exchanges, which are 0."""
        count = self.outcomes.total()
        shares = {f"share/{outcome}": times / count for outcome, times in self.outcomes.items()}
        means = {name: sum(values) / len(values) for name, values in self.seen.items() if not name.endswith("_ms")}
        return {"exchanges": count, **self.sums, **shares, **means, **dict(self._quantiles())}

    def _exchange(self, event: Event) -> None:
        self.outcomes[event["outcome"]] += 1
        for key, name in _SUMS.items():
            self.sums[name] += event[key]
        for key, name in _TIMES.items():
            if event[key] is not None:
                self.seen[name].append(event[key])
        for judgement in event["judgements"]:
            if judgement["action"] != "allow":
                self.sums[f"safety/{judgement['action']}"] += 1

    def _feedback(self, event: Event) -> None:
        value = event.get("value")
        if value is not None:
            self.seen["quality/feedback"].append(value)
            self.sums["quality/complaints"] += value < 0.5

    def _quantiles(self) -> Iterator[tuple[str, float]]:
        for name in _TIMES.values():
            if values := sorted(self.seen.get(name, ())):
                for percent in (50, 95, 99):
                    yield f"{name.removesuffix('_ms')}/p{percent}_ms", _nearest(values, percent / 100)


_SUMS = {
    "input_tokens": "tokens/input",
    "output_tokens": "tokens/output",
    "cached_tokens": "tokens/cached",
    "cost_usd": "cost/usd",
}
_TIMES = {"total_ms": "latency/total_ms", "first_token_ms": "latency/first_token_ms"}


def _nearest(ordered: Sequence[float], q: float) -> float:
    """By nearest rank."""
    return ordered[max(0, -int(-q * len(ordered) // 1) - 1)]


class Windows:
    """Cuts events into windows of `span_s`, by when they were written. `after` is the number of the last one told."""

    def __init__(self, span_s: float, after: int = 0) -> None:
        self._span, self._after = int(span_s * 1e9), after
        self.open: Window | None = None

    def take(self, event: Event) -> list[Window]:
        """Windows that are over now that `event` is there. One of a window that was told is passed over."""
        if self.told(event):
            return []
        number = self._number(event)
        over = self.over(number * self._span)
        if self.open is None:
            self.open = Window(number)
        self.open.take(event)
        return over

    def told(self, event: Event) -> bool:
        """Whether its window was."""
        return self._number(event) <= self._after

    def _number(self, event: Event) -> int:
        return instant(event["ts"]) // self._span

    def over(self, now: int) -> list[Window]:
        """The open window, if `now`, in nanoseconds since 1970, is beyond it."""
        window, number = self.open, now // self._span
        if window is None or number <= window.number:
            return []
        self.open, self._after = None, window.number
        return [window]
