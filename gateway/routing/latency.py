"""Peak EWMA: how long an upstream takes to begin its answer, quick to believe the worst and slow to forget it.

After Finagle's `PeakEwma`; the load it makes of that is latency times the requests that are ahead.
"""

from __future__ import annotations

from math import exp

DECAY_S = 10.0
PENALTY_S = 1.0
"""What an upstream that has requests under way and never answered one is taken for."""


class PeakEwma:
    __slots__ = ("_at", "_cost")

    def __init__(self) -> None:
        self._at = 0.0
        self._cost = 0.0

    def note(self, now: float, seconds: float) -> None:
        share = exp(-max(0.0, now - self._at) / DECAY_S)
        left = self._cost * share
        self._cost = seconds if seconds >= left else left + seconds * (1.0 - share)
        self._at = now

    def seconds(self, now: float) -> float:
        """What it is taken for now; what was measured long ago counts less and less, so that it is tried again."""
        return self._cost * exp(-max(0.0, now - self._at) / DECAY_S) if self._cost else 0.0

    def load(self, now: float, outstanding: int) -> float:
        cost = self.seconds(now)
        if not cost and outstanding:
            return PENALTY_S + outstanding
        return cost * (outstanding + 1)
