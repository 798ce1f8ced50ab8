"""How one destination fares: what it took, what it was not given, whether it answers. And how that is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Told = tuple[str, Mapping[str, Any]]

METRICS: Mapping[str, tuple[str, str]] = {
    "tidegate_export_sent_total": ("counter", "What a destination took, by signal."),
    "tidegate_export_dropped_total": ("counter", "What it was not given, or did not want."),
    "tidegate_export_failures_total": ("counter", "Tries that failed."),
    "tidegate_export_failing": ("gauge", "Whether the last try failed (1) or not (0)."),
    "tidegate_export_behind_bytes": ("gauge", "How much of the event log is still to be sent."),
}


@dataclass(slots=True)
class Standing:
    """`since` is when it began to fail, None while it does not. `told` are events that were not fetched yet."""

    name: str
    sent: Counter[str] = field(default_factory=Counter)
    dropped: Counter[tuple[str, str]] = field(default_factory=Counter)
    failures: int = 0
    since: float | None = None
    behind: int = 0
    told: list[Told] = field(default_factory=list)
    reported: Counter[tuple[str, str]] = field(default_factory=Counter)

    def took(self, signal: str, count: int, now: float) -> None:
        self.sent[signal] += count
        self.answered(now)

    def answered(self, now: float) -> None:
        if self.since is not None:
            self._tell("export.recovered", seconds=round(now - self.since, 3))
        self.since = None

    def failed(self, reason: str, now: float) -> None:
        self.failures += 1
        if self.since is None:
            self.since = now
            self._tell("export.failing", reason=reason)

    def drop(self, signal: str, reason: str, count: int) -> None:
        if count:
            self.dropped[signal, reason] += count

    def news(self) -> list[Told]:
        """Events since the last time."""
        for (signal, reason), count in (self.dropped - self.reported).items():
            self._tell("export.dropped", signal=signal, reason=reason, count=count)
        self.reported = self.dropped.copy()
        told, self.told = self.told, []
        return told

    def _tell(self, event: str, **fields: Any) -> None:
        self.told.append((event, {"destination": self.name, **fields}))


def text(standings: Iterable[Standing]) -> str:
    """In Prometheus' text format."""
    samples = [sample for standing in standings for sample in _samples(standing)]
    return "".join(
        "\n".join(
            [f"# HELP {name} {told}", f"# TYPE {name} {kind}"]
            + [f"{name}{{{labels}}} {float(value)!r}" for of, labels, value in samples if of == name]
            + [""]
        )
        for name, (kind, told) in METRICS.items()
        if any(of == name for of, _, _ in samples)
    )


def _samples(standing: Standing) -> Iterable[tuple[str, str, float]]:
    own = f'destination="{standing.name}"'
    for signal, count in standing.sent.items():
        yield "tidegate_export_sent_total", f'{own},signal="{signal}"', count
    for (signal, reason), count in standing.dropped.items():
        yield "tidegate_export_dropped_total", f'{own},signal="{signal}",reason="{reason}"', count
    yield "tidegate_export_failures_total", own, standing.failures
    yield "tidegate_export_failing", own, standing.since is not None
    yield "tidegate_export_behind_bytes", own, standing.behind
