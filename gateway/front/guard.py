"""Who is let in, and for how long a client may keep a connection without using it. One clock tick looks after all
connections of a process; nothing is timed for each request.
"""

from __future__ import annotations

import asyncio
import itertools
import resource
from collections import deque
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Literal, Protocol

from gateway.config.schema import Server

TICK_S = 0.1
LOOK_TICKS = 5  # between two looks at every connection
WINDOW_TICKS = 10  # the shortest delay of a second is queueing, not a burst: CoDel's idea (RFC 8289)
FLOOR = 64  # requests that are always let in
LINGER_S = 2.0  # that a process which goes still answers on connections it keeps
SPARE_FDS = 256  # for upstreams, workers and files

Phase = Literal["head", "rest", "body", "answer", "stalled"]
"""A request is not whole; none is on the way; its body comes; it is answered; the client does not read its answer."""


class Guarded(Protocol):
    """A connection, as the guard sees it: the `number` it came as, `ticks` that it has been as it is."""

    number: int
    ticks: int

    def look(self) -> Phase: ...
    def expire(self, phase: Phase) -> None: ...


class Guard:
    """What one process lets in. `allowed` are requests at a time; beyond it they are shed, and counted in `shed`.

    Shrinks while the loop runs late by more than `lag_ms` for a whole second, grows again after.
    """

    def __init__(self, spec: Server, now: Callable[[], float]) -> None:
        self.shed = self.evicted = self.expired = 0
        self.numbers = itertools.count()
        self.allowed = self._most = spec.in_flight
        self.most_connections = min(spec.connections, _files() - SPARE_FDS)
        self.leaving = False
        self._now, self._target = now, spec.lag_ms / 1000
        self._patience: dict[Phase, float] = {
            "head": spec.header_s,
            "rest": spec.keep_alive_s,
            "body": spec.body_s,
            "stalled": spec.write_s,
        }
        self._lags: deque[float] = deque(maxlen=WINDOW_TICKS)

    async def run(self, connections: Collection[Guarded], going: Collection[object]) -> None:
        """Look after `connections` for ever; `going` are the requests under way."""
        tick = 0
        while True:
            due = self._now() + TICK_S
            await asyncio.sleep(TICK_S)
            self.felt(self._now() - due, len(going))
            tick += 1
            if tick % LOOK_TICKS == 0:
                self.sweep(connections)

    def felt(self, lag: float, going: int) -> None:
        """The loop ran `lag` seconds late with so many requests under way."""
        self._lags.append(lag)
        if len(self._lags) == WINDOW_TICKS and min(self._lags) > self._target:
            self.allowed = min(self._most, max(FLOOR, int(min(self.allowed, going) * 0.8)))
            self._lags.clear()
        elif lag <= self._target and self.allowed < self._most:
            self.allowed = min(self._most, int(self.allowed * 1.05) + 1)

    def sweep(self, connections: Collection[Guarded]) -> None:
        """Have those go that have been idle, silent or slow for too long."""
        seconds = LOOK_TICKS * TICK_S
        for connection in [*connections]:
            phase = connection.look()
            connection.ticks += 1
            patience = self._patience.get(phase)
            if patience is None:
                continue
            if self.leaving and phase in {"head", "rest"}:
                patience = min(patience, LINGER_S)
            if connection.ticks * seconds > patience:
                self.expired += phase != "rest"
                connection.expire(phase)

    def met(self, connections: Collection[Guarded]) -> None:
        """Another connection came. Where there are too many, an eighth of all that answer nobody go, oldest first."""
        if len(connections) <= self.most_connections:
            return
        found = [(one.look(), one) for one in connections]
        for wanted in ("head", "rest", "body"):  # who never sent a whole request goes first
            oldest = sorted((one for phase, one in found if phase == wanted), key=lambda one: one.number)
            for one in oldest[: max(1, self.most_connections // 8)]:
                self.evicted += 1
                one.expire("rest")
            if oldest:
                return


def _files() -> int:
    """How many files this process may have open: as many as it is allowed to allow itself."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 1 << 20 if hard == resource.RLIM_INFINITY else hard
    if soft < most:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
            soft = most
    return soft
