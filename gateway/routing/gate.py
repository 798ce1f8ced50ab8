"""How many have an upstream at once, and who waits for it: a bounded queue, first come, first served."""

from __future__ import annotations

import asyncio
from collections import deque

from gateway.config.traffic import Load
from gateway.errors import UpstreamBusy

_WEIGHT = 0.1  # of the newest request in how long one takes


class Gate:
    """`enter` before a request, `leave` after it, always both."""

    __slots__ = ("_load", "_waiters", "_where", "busy", "seconds")

    def __init__(self, where: str, load: Load) -> None:
        self._where, self._load = where, load
        self._waiters: deque[asyncio.Future[None]] = deque()
        self.busy = 0
        self.seconds = 0.0  # that a request takes, lately

    @property
    def waiting(self) -> int:
        return len(self._waiters)

    @property
    def free(self) -> bool:
        """Whether one more need not wait."""
        return self._load.concurrency is None or (self.busy < self._load.concurrency and not self._waiters)

    @property
    def full(self) -> bool:
        """Whether one more would be sent away."""
        return not self.free and len(self._waiters) >= self._load.queue

    def enter(self) -> bool:
        """Enter where that is possible at once."""
        if not self.free:
            return False
        self.busy += 1
        return True

    async def wait(self) -> None:
        """Enter when it is one's turn. Raises UpstreamBusy where too many wait already, or it takes too long."""
        if self.full:
            raise self._refusal("has as many requests under way and waiting as it is allowed")
        place = asyncio.get_running_loop().create_future()
        self._waiters.append(place)
        try:
            async with asyncio.timeout(self._load.queue_s):
                await place
        except BaseException as left:
            self._forget(place)
            if isinstance(left, TimeoutError):
                raise self._refusal(f"had no place within {self._load.queue_s:g} s") from None
            raise

    def leave(self, seconds: float | None = None) -> None:
        """Give one's place to who waits longest. `seconds` is how long the request took, if it says anything."""
        if seconds is not None:
            self.seconds += (seconds - self.seconds) * (_WEIGHT if self.seconds else 1.0)
        while self._waiters:
            if not (place := self._waiters.popleft()).done():
                place.set_result(None)
                return
        self.busy -= 1

    def patience(self) -> float:
        """After how many seconds a place will be free, if requests take as long as they did."""
        ahead = (len(self._waiters) + 1) * self.seconds / (self._load.concurrency or 1)
        return min(60.0, max(1.0, ahead))

    def _forget(self, place: asyncio.Future[None]) -> None:
        """Whoever leaves the queue hands on the place that was given to it meanwhile."""
        if place.done() and not place.cancelled():
            self.leave()
        elif place in self._waiters:
            self._waiters.remove(place)

    def _refusal(self, what: str) -> UpstreamBusy:
        return UpstreamBusy(f"upstream {self._where}: {what}", retry_after=self.patience())
