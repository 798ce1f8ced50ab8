"""From the path of exchanges to the worker that keeps them: a bounded queue, and a task that empties it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from gateway.data.row import bare, hidden
from gateway.errors import WorkerError
from gateway.exchange import Exchange

NAME = "data"
QUEUE = 1024
BATCH = 32
SIZE = 131_072
"""Bytes in one call, but for a single exchange's: to write them takes an HTTP process 0.1 ms or so."""

DEADLINE_S = 10.0


class Worker(Protocol):
    """Who keeps."""

    async def call(self, method: str, payload: Any, *, deadline_s: float) -> Any: ...


@dataclass(slots=True)
class Lost:
    """Exchanges that were not handed over: no room, or nobody took them."""

    count: int = 0


@dataclass(slots=True)
class Handover:
    """`offer` never waits."""

    worker: Worker
    lost: Lost = field(default_factory=Lost)
    queue: asyncio.Queue[dict[str, Any]] = field(default_factory=lambda: asyncio.Queue(QUEUE))

    def offer(self, exchange: Exchange, fields: Mapping[str, Any]) -> None:
        """Hand over an exchange that ended; `fields` are those of its event."""
        row = {
            "id": exchange.id,
            "alias": bare(exchange.answer),
            "key": exchange.principal,
            "route": exchange.route,
            "user": hidden(exchange.user),
            "at": time.time(),
            "record": {name: value for name, value in fields.items() if name != "captured"},
            "texts": fields.get("captured", {}),
        }
        try:
            self.queue.put_nowait(row)
        except asyncio.QueueFull:
            self.lost.count += 1

    async def run(self) -> None:
        """Empty the queue, for ever. A worker that fails costs what it was given."""
        held: dict[str, Any] | None = None
        while True:
            rows, held = await self._taken(held)
            try:
                await self.worker.call("keep", {"rows": rows}, deadline_s=DEADLINE_S)
            except (WorkerError, TypeError, ValueError):  # nobody there, or a text that is no Unicode
                self.lost.count += len(rows)
            for _ in rows:
                self.queue.task_done()

    async def _taken(self, held: dict[str, Any] | None) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
        """The next call's rows, `held` first, and one that found no room in it."""
        rows = [held or await self.queue.get()]
        size = _size(rows[0])
        while len(rows) < BATCH and not self.queue.empty():
            row = self.queue.get_nowait()
            size += _size(row)
            if size > SIZE:
                return rows, row
            rows.append(row)
        return rows, None


def _size(row: Mapping[str, Any]) -> int:
    texts = row["texts"]
    return 2048 + sum(len(said["text"]) for side in ("input", "output") for said in texts.get(side, ()))
