"""How often requests may be asked again: a share of all of them, as Finagle's RetryBudget and Envoy's have it."""

from __future__ import annotations

from gateway.routing.recent import Recent

WINDOW_S = 10.0


class Budget:
    """Within any ten seconds no more is spent than `share` of the requests in them, and `floor_per_s` besides."""

    __slots__ = ("_floor", "_requests", "_share", "_spent")

    def __init__(self, share: float, floor_per_s: float) -> None:
        self._share = share
        self._floor = floor_per_s * WINDOW_S
        self._requests, self._spent = Recent(WINDOW_S), Recent(WINDOW_S)

    def request(self, now: float) -> None:
        """Somebody asks for the first time."""
        self._requests.add(now)

    def spend(self, now: float) -> bool:
        """Whether one may be asked once more; if so, that is spent."""
        granted = self._spent.sum(now) + 1 <= self._share * self._requests.sum(now) + self._floor
        if granted:
            self._spent.add(now)
        return granted
