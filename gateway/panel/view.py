"""What a panel knows of a log: its last exchanges, their course, what the rails did, which signals stand."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from gateway.panel.course import Course

RECENT = 250  # exchanges
NOTICES = 50

_SHOWN = (
    "id", "ts", "endpoint", "principal", "model", "route", "policy", "upstream", "answered_model", "stream", "outcome",
    "status", "error", "verdict", "cached", "finish", "input_tokens", "output_tokens", "cost_usd", "input_rails_ms",
    "connect_ms", "first_token_ms", "output_rails_ms", "upstream_ms", "overhead_ms", "total_ms", "scanned_bytes",
    "scannable_bytes",
)  # fmt: skip
_NOTICES = frozenset(
    {"signal.raised", "signal.cleared", "drift.detected", "drift.cleared", "upstream.ejected", "upstream.returned",
     "worker.restarted", "worker.failed", "config.reloaded", "config.refused", "webhook.failed"}
)  # fmt: skip

Json = dict[str, Any]


@dataclass(slots=True)
class View:
    """`lines` takes in; `told` gives what changed since a number that it gave before. No text of any exchange."""

    hour: Course = field(default_factory=lambda: Course(30, 120))
    day: Course = field(default_factory=lambda: Course(300, 288))
    recent: OrderedDict[str, Json] = field(default_factory=OrderedDict)
    rails: dict[tuple[str, str, str], Counter[str]] = field(default_factory=dict)
    notices: list[Json] = field(default_factory=list)
    signals: dict[str, Json] = field(default_factory=dict)
    number: int = 0  # of the last event that was taken in
    newest: float = 0.0  # its instant
    broken: int = 0

    def lines(self, lines: Iterable[bytes]) -> None:
        for line in lines:
            try:
                self.event(orjson.loads(line))
            except (ValueError, KeyError, TypeError, AttributeError):
                self.broken += 1

    def event(self, event: Mapping[str, Any]) -> None:
        name = event["event"]
        at = datetime.fromisoformat(event["ts"]).timestamp()
        self.number += 1
        self.newest = max(self.newest, at)
        match name:
            case "exchange.completed":
                self._completed(event, at)
            case "score.recorded":
                self._scored(event, at)
            case "signal.raised":
                self.signals[event["signal"]] = dict(event)
            case "signal.cleared":
                self.signals.pop(event["signal"], None)
        if name in _NOTICES:
            self.notices = [*self.notices[1 - NOTICES :], dict(event)]

    def told(self, after: int, *, now: float, span: str) -> Json:
        """`after` is the `number` of the answer before, or 0."""
        course = self.day if span == "day" else self.hour
        return {
            "number": self.number,
            "now": now,
            "seconds": course.seconds,
            "course": course.told(now),
            "times": course.times(now),
            "exchanges": [row for row in self.recent.values() if row["number"] > after],
            "rails": [
                {"policy": policy, "stage": stage, "rail": rail, **counts}
                for (policy, stage, rail), counts in sorted(self.rails.items())
            ],
            "signals": list(self.signals.values()),
            "notices": self.notices,
            "broken": self.broken,
        }

    def _completed(self, event: Mapping[str, Any], at: float) -> None:
        for course in (self.hour, self.day):
            course.add(event, at)
        judged = [self._judged(event["policy"], said) for said in event["judgements"]]
        row = {name: event[name] for name in _SHOWN}
        self.recent[event["id"]] = {"number": self.number, **row, "judgements": judged, "scores": {}}
        while len(self.recent) > RECENT:
            self.recent.popitem(last=False)

    def _judged(self, policy: str, said: Mapping[str, Any]) -> Json:
        counts = self.rails.setdefault((policy, said["stage"], said["rail"]), Counter())
        counts["fault" if said["fault"] else said["action"]] += 1
        counts["judged"] += 1
        return {name: said[name] for name in ("stage", "rail", "action", "rules", "count", "fault", "ms", "enforced")}

    def _scored(self, event: Mapping[str, Any], at: float) -> None:
        for course in (self.hour, self.day):
            course.score(event["scores"], at)
        row = self.recent.get(event["id"])
        if row is not None:
            row["scores"], row["number"] = event["scores"], self.number
