"""What the gateway's processes have counted, together: for `/metrics`, whichever HTTP process is asked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from gateway.observe import exposition
from gateway.observe.instruments import Counter, Gauge
from gateway.observe.metrics import Metrics


@dataclass(slots=True)
class Tally:
    """`generation` is the configuration's; `gone` what processes had counted that are no more."""

    generation: int = 1
    gone: str = ""
    watched: str = ""  # what the monitor shows
    exported: str = ""  # what the exporters do
    restarts: Counter = field(default_factory=lambda: Metrics().restarts)
    readings: Counter = field(
        default_factory=lambda: Counter(
            "tidegate_config_readings_total", "Changed configurations that were read.", ("result",)
        )
    )

    def part(self, text: str) -> None:
        """Keep what a process had counted that is gone now."""
        self.gone = exposition.summed([self.gone, text], counted=True)

    def summed(self, texts: Iterable[str]) -> str:
        return exposition.summed([*texts, self.gone, self._own(), self.watched, self.exported])

    def _own(self) -> str:
        generation = Gauge("tidegate_config_generation", "Configuration in use.", lambda: self.generation)
        return "".join(line for one in (self.restarts, self.readings, generation) for line in one.lines())
