"""Many streams at once, read by one process that does nothing else with them."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

import uvloop


@dataclass(frozen=True, slots=True)
class Come:
    """What came of streams: their events, seconds from each request to its first one, and how many ended whole."""

    seconds: float
    first: list[float]
    whole: int
    chunks: int


@dataclass(slots=True)
class Stream(asyncio.Protocol):
    """One request on a connection of its own, read to its end."""

    request: bytes
    over: asyncio.Future[None]
    asked: float = 0.0
    first: float | None = None
    chunks: int = 0
    tail: bytes = b""
    transport: Any = field(init=False)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def ask(self) -> None:
        self.asked = time.perf_counter()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        if self.first is None and b"data: " in data:
            self.first = time.perf_counter() - self.asked
        self.chunks += data.count(b"\n\n\r\n")
        self.tail = (self.tail + data)[-64:]
        if self.tail.endswith(b"0\r\n\r\n") and not self.over.done():
            self.over.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio.Protocol's
        if not self.over.done():
            self.over.set_result(None)

    @property
    def whole(self) -> bool:
        return b"[DONE]" in self.tail and self.tail.endswith(b"0\r\n\r\n")


def crowd(port: int, request: bytes, streams: int, over_s: float = 0.0) -> Come:
    """`streams` at once, the requests spread over `over_s` seconds."""
    return uvloop.run(_crowd(port, request, streams, over_s))


async def _crowd(port: int, request: bytes, streams: int, over_s: float) -> Come:
    loop = asyncio.get_running_loop()
    all_ = [Stream(request, loop.create_future()) for _ in range(streams)]
    for at in range(0, streams, 50):
        some = all_[at : at + 50]
        await asyncio.gather(*(loop.create_connection(lambda one=one: one, "127.0.0.1", port) for one in some))
    began = time.perf_counter()
    for place, one in enumerate(all_):
        loop.call_later(over_s * place / streams, one.ask)
    await asyncio.gather(*(one.over for one in all_))
    seconds = time.perf_counter() - began
    for one in all_:
        one.transport.close()
    first = [one.first for one in all_ if one.first is not None]
    return Come(seconds, first, sum(one.whole for one in all_), sum(one.chunks for one in all_))
