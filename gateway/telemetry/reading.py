"""The events that one destination is still to be given, a piece of the log at a time, and how many it never will be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from gateway.observe.spool import Lines, Mark
from gateway.telemetry.destination import Destination
from gateway.telemetry.place import Place
from gateway.telemetry.span import instant
from gateway.telemetry.standing import Standing

Event = Mapping[str, Any]

PIECE = 256 * 1024  # bytes


class Reading:
    """Begins where `place` says. Where it says nothing, what is older than `keep_s` is history and nobody's loss."""

    def __init__(self, to: Destination, place: Place, standing: Standing) -> None:
        self._to, self._place, self._standing = to, place, standing
        self._history = place.mark is None
        self._lines = Lines(to.events, place.mark)
        # The file that was read last is gone: what stood in it after our place shows in the numbers of its processes.
        gone = place.mark is not None and place.mark.inode != 0 and self._lines.mark.inode == 0
        self._torn = set(place.seqs) if gone else set[int]()

    def events(self, now: float) -> list[Event] | None:
        """The next ones; None at the end of the log. `now` is in seconds since 1970."""
        self._standing.behind = self._lines.left
        if self._standing.behind > self._to.behind:
            self._skip()
        lines = self._lines.read(PIECE)
        found = [event for line in lines if (event := self._event(line)) is not None]
        oldest = int((now - self._to.keep_s) * 1e9)
        fresh = [event for event in found if instant(event["ts"]) >= oldest]
        if not self._history:
            self._standing.drop("events", "late", len(found) - len(fresh))
        if fresh:
            self._history = False
        return fresh if lines else None

    @property
    def mark(self) -> Mark:
        """Behind the last event that was given out."""
        return self._lines.mark

    def keep(self, mark: Mark | None = None) -> None:
        """Everything that was given out is dealt with, or what stands before `mark`. Raises OSError."""
        self._place.keep(mark or self._lines.mark)
        self._standing.behind = self._lines.left

    @property
    def far(self) -> bool:
        """Whether more waits than may."""
        return self._lines.left > self._to.behind

    def close(self) -> None:
        self._lines.close()

    def _skip(self) -> None:
        while self._lines.left > self._to.behind // 2:
            lines = self._lines.read(max(4096, self._to.behind // 8))
            for line in lines:
                self._event(line)
            if not self._history:
                self._standing.drop("events", "behind", len(lines))

    def _event(self, line: bytes) -> Event | None:
        """What is not an event is not ours to complain of."""
        try:
            event = orjson.loads(line)
            process, seq, _ = event["process"], event["seq"], event["event"] + event["ts"]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return None
        if process in self._torn:
            self._torn.discard(process)
            self._standing.drop("events", "gone", max(0, seq - self._place.seqs[process] - 1))
        self._place.seqs.pop(process, None)
        self._place.seqs[process] = seq
        return event if isinstance(event, dict) else None
