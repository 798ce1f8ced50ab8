"""Answers in this process: those used last, as many as bytes allow, each until it is too old."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.cache.entry import OVERHEAD, Entry


@dataclass(slots=True)
class Shelf:
    """`entry.Answers` within `room` bytes."""

    room: int
    clock: Callable[[], float] = time.monotonic
    size: int = 0
    _entries: OrderedDict[str, tuple[Entry, float]] = field(default_factory=OrderedDict)

    async def get(self, place: str) -> Entry | None:
        found = self._entries.get(place)
        if found is None:
            return None
        entry, until = found
        if self.clock() >= until:
            self._drop(place)
            return None
        self._entries.move_to_end(place)
        return entry

    async def put(self, place: str, entry: Entry, ttl_s: float) -> None:
        self._drop(place)
        if entry.size + OVERHEAD > self.room:
            return
        self._entries[place] = entry, self.clock() + ttl_s
        self.size += entry.size + OVERHEAD
        while self.size > self.room:
            self._drop(next(iter(self._entries)))

    def _drop(self, place: str) -> None:
        if found := self._entries.pop(place, None):
            self.size -= found[0].size + OVERHEAD
