"""Several keys of one upstream, used in turn; one that is refused is set aside for a while."""

from __future__ import annotations

from collections.abc import Callable, Sequence

LIMITED_S = 10.0  # where a 429 does not say how long
REFUSED_S = 300.0  # a 401 or 403: what revoked a key is seldom undone at once
REFUSALS = frozenset({401, 403, 429})
"""Statuses that may be about the key alone."""


class Keys:
    """Keys are known by their number here. `clock` is monotonic."""

    __slots__ = ("_aside", "_clock", "_next")

    def __init__(self, count: int, clock: Callable[[], float]) -> None:
        self._aside = [0.0] * count  # until when, by key
        self._clock = clock
        self._next = 0

    def __len__(self) -> int:
        return len(self._aside)

    def take(self, tried: Sequence[int] = ()) -> int | None:
        """The key whose turn it is; one that is set aside only where all are, and no other was tried.

        None where every key was tried, or those left are set aside.
        """
        count = len(self._aside)
        if count == 1:
            return None if tried else 0
        now = self._clock()
        turns = [(self._next + n) % count for n in range(count)]
        fresh = next((key for key in turns if key not in tried and self._aside[key] <= now), None)
        if fresh is None and not tried:
            fresh = min(turns, key=lambda key: self._aside[key])
        if fresh is not None:
            self._next = (fresh + 1) % count
        return fresh

    def refused(self, key: int, status: int, seconds: float | None) -> None:
        """The upstream answered `status`, which is among `REFUSALS`, and asked for `seconds` of patience if any."""
        rest = REFUSED_S if status != 429 else LIMITED_S if seconds is None else seconds
        self._aside[key] = self._clock() + rest
