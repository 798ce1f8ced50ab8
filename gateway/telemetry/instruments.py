"""What events add up to, as OpenTelemetry's metrics: histograms and counters since this process began."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.telemetry.destination import Answerer
from gateway.telemetry.names import NAMES, OPERATIONS
from gateway.telemetry.span import Value, present

Event = Mapping[str, Any]
Labels = tuple[tuple[str, Value], ...]

SECONDS = tuple(0.01 * 2**n for n in range(14))
FIRST = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
PER_TOKEN = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
TOKENS = tuple(float(4**n) for n in range(14))
UNITS = tuple(n / 20 for n in range(1, 20))
RAIL = tuple(0.0001 * 2**n for n in range(16))
"""Bounds of buckets: the first four are the conventions'."""

MOST = 2000
"""Sets of labels an instrument keeps; then all others share one, as OpenTelemetry's SDKs have it."""

_OVERFLOW: Labels = (("otel.metric.overflow", True),)


@dataclass(slots=True)
class Cell:
    """`counts` has one more than there are bounds."""

    counts: list[int]
    sum: float = 0.0
    least: float = float("inf")
    most: float = float("-inf")

    def add(self, value: float, bounds: Sequence[float]) -> None:
        self.counts[bisect_left(bounds, value)] += 1
        self.sum += value
        self.least, self.most = min(self.least, value), max(self.most, value)


@dataclass(slots=True)
class Instrument:
    """A histogram; without `bounds` a counter, whose cells have a sum only."""

    name: str
    unit: str
    told: str
    bounds: tuple[float, ...] = ()
    cells: dict[Labels, Cell] = field(default_factory=dict)

    def add(self, labels: Mapping[str, Value | None], value: float) -> None:
        key = tuple(sorted(present(labels).items()))
        if key not in self.cells and len(self.cells) >= MOST:
            key = _OVERFLOW
        if key not in self.cells:
            self.cells[key] = Cell([0] * (len(self.bounds) + 1))
        self.cells[key].add(value, self.bounds)


class Instruments:
    """`take` events; `all` are the instruments that have seen something."""

    def __init__(self, upstreams: Mapping[str, Answerer], semconv: str = "current") -> None:
        self._upstreams, self._names = upstreams, NAMES[semconv]
        names = self._names
        tokens = {
            key: Instrument(names[key], "{token}", "Tokens of one call.", TOKENS) for key in _TOKENS if key in names
        }
        self._all = {
            **tokens,
            "client": Instrument(names["client_duration"], "s", "Waiting for an upstream.", SECONDS),
            "server": Instrument(names["server_duration"], "s", "From request to end of answer.", SECONDS),
            "first": Instrument(names["first_token"], "s", "From request to first text.", FIRST),
            "per_token": Instrument(names["per_token"], "s", "After the first token.", PER_TOKEN),
            "cost": Instrument("tidegate.cost", "USD", "What exchanges cost."),
            "verdicts": Instrument("tidegate.verdicts", "{verdict}", "What rails said of a stage."),
            "rail": Instrument("tidegate.rail.duration", "s", "One rail judging one stage.", RAIL),
            "score": Instrument("tidegate.score", "1", "What answers scored.", UNITS),
            "feedback": Instrument("tidegate.feedback", "{feedback}", "What was said of answers."),
        }

    def all(self) -> Iterator[Instrument]:
        return (instrument for instrument in self._all.values() if instrument.cells)

    def take(self, event: Event) -> None:
        match event["event"]:
            case "exchange.completed":
                self._exchange(event)
            case "score.recorded":
                for metric, value in event["scores"].items():
                    self._all["score"].add({"metric": metric, "route": event["route"]}, value)
            case "feedback.received":
                labels = {"name": event.get("name") or "feedback", "route": event.get("route"), "label": _heard(event)}
                self._all["feedback"].add(labels, 1)

    def _exchange(self, event: Event) -> None:
        labels, found = self._labels(event), self._all
        failed = {**labels, "error.type": event["error"]}
        for key, value in (
            ("server", event["total_ms"]),
            ("first", event["first_token_ms"]),
            ("per_token", event["per_output_token_ms"]),
        ):
            if value is not None:
                found[key].add(failed if key == "server" else labels, value / 1000)
        if event["tried"]:
            found["client"].add(failed, event["upstream_ms"] / 1000)
            self._tokens(event, labels)
            found["cost"].add({"route": event["route"], "upstream": event["upstream"]}, event["cost_usd"])
        for judgement in event["judgements"]:
            of = {"rail": judgement["rail"], "stage": judgement["stage"]}
            found["rail"].add(of, judgement["ms"] / 1000)
            found["verdicts"].add({**of, "action": judgement["action"], "enforced": judgement["enforced"]}, 1)

    def _tokens(self, event: Event, labels: Mapping[str, Value | None]) -> None:
        for kind in ("input", "output"):
            count = event[f"{kind}_tokens"]
            if f"{kind}_histogram" in self._all:
                self._all[f"{kind}_histogram"].add(labels, count)
            else:
                self._all["tokens"].add({**labels, self._names["token_type"]: kind}, count)

    def _labels(self, event: Event) -> dict[str, Value | None]:
        names, who = self._names, self._upstreams.get(event["upstream"])
        return {
            names["operation"]: OPERATIONS.get(event["endpoint"]),
            names["provider"]: who.provider if who else event["upstream"],
            names["request_model"]: event["model"],
            names["response_model"]: event["answered_model"],
            "server.address": who.address if who else None,
            "server.port": (who.port or None) if who else None,
        }


_TOKENS = ("tokens", "input_histogram", "output_histogram")


def _heard(event: Event) -> str:
    """`good`, `bad` or `other`: labels that are made up are not counted one by one."""
    value = event.get("value")
    if value is None:
        return "other"
    return "good" if value >= 0.5 else "bad"
