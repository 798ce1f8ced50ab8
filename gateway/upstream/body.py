"""The body of an answer that needs no decoding: read piece by piece, or poured out as it comes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Self

from gateway.errors import UpstreamBroken
from gateway.upstream.connection import Connection, Sink

SSE_END = b"[DONE]"  # how a stream of completions ends
_TAIL = 32  # bytes in which that must stand where nothing else tells the end


@dataclass(slots=True)
class Body:
    """`upstream.Flowing`: at most `most` bytes, each piece within `idle_s` of the one before, all of them until `end`.

    `unframed`: nothing but its last event tells that a stream is whole.
    """

    connection: Connection
    idle_s: float
    end: float
    most: int
    unframed: bool = False
    size: int = 0
    tail: bytes = b""
    over: bool = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self.over:
            raise StopAsyncIteration
        until = asyncio.get_running_loop().time() + self.idle_s
        piece = await self.connection.read(min(until, self.end))
        if not piece:
            self._ended()
            raise StopAsyncIteration
        self.size += len(piece)
        self._check(piece)
        return piece

    async def flow(self, sink: Sink) -> bool:
        """Give `sink` each piece the moment it comes, until it says that it wants no more; False at the end."""
        if self.over:
            return False

        def noted(piece: bytes) -> bool:
            self.size += len(piece)
            if self.size > self.most or self.unframed:
                self._check(piece)
            return sink(piece)

        more = await self.connection.flow(noted, self.idle_s, self.end)
        if not more:
            self._ended()
        return more

    async def aclose(self) -> None:
        self.over = True

    def _check(self, piece: bytes) -> None:
        if self.size > self.most:
            raise UpstreamBroken(f"upstream {self.connection.where}: its answer is over {self.most} bytes")
        if self.unframed:
            self.tail = (self.tail + piece[-_TAIL:])[-_TAIL:]

    def _ended(self) -> None:
        self.over = True
        if self.unframed and SSE_END not in self.tail:
            raise UpstreamBroken(f"upstream {self.connection.where}: its answer was cut off")
