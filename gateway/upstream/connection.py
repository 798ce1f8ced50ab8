"""One HTTP/1.1 connection to a server: a request goes out, its answer comes in as it is sent, one at a time.

Nothing is retried and nothing outlives its asker: a request that is given up closes its connection at once.
"""

from __future__ import annotations

import asyncio
import select
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import httptools

from gateway.errors import UpstreamBroken, UpstreamError, UpstreamTimeout, UpstreamUnreachable

HEAD_BYTES = 64 * 1024  # nginx and Envoy stop at 32 and 60 KiB of headers
HEAD_FIELDS = 256
INTERIM = 16  # 1xx answers before the real one
HIGH_WATER = 256 * 1024  # bytes read ahead of a slow reader, then TCP's window holds the server back

Sink = Callable[[bytes], bool]
"""Takes a piece of a body the moment it comes, and says whether it will take another."""


@dataclass(frozen=True, slots=True)
class Head:
    """Status and headers of an answer, names in lower case. `framed`: its end is told by more than the connection's."""

    status: int
    headers: tuple[tuple[str, str], ...]
    framed: bool

    def get(self, name: str) -> str:
        return next((v for k, v in self.headers if k == name), "")


class Connection(asyncio.Protocol):
    """`ask`, then `head`, then `read` until it gives nothing. `where` names the server in errors."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._paused = False
        self._asked = False
        self._keep = True
        self.idle_since = 0.0
        self._reset("")

    # Sending the request

    def ask(self, where: str, *parts: bytes) -> None:
        """Send a request made of `parts`. Only on a connection that is new or `reusable`."""
        self._reset(where)
        self._asked = True
        if not self.transport.is_closing():
            self.transport.writelines(parts)

    def _reset(self, where: str) -> None:
        self.where = where
        self._fed = 0
        self._interim = 0
        self._headers: list[tuple[str, str]] = []
        self._head: Head | None = None
        self._chunks: deque[bytes] = deque()
        self._held = 0
        self._done = False
        self._fault: UpstreamError | None = None
        self._sink: Sink | None = None
        self._patience = self._until = self._end = 0.0

    # Reading the answer

    async def head(self, until: float) -> Head:
        """The answer's head. `until` is an instant of the loop's clock."""
        while self._head is None:
            await self._change(until, "did not answer in time")
        return self._head

    async def some(self, until: float) -> None:
        """Wait for the first of the body, or for its end."""
        while not self._chunks and not self._done:
            await self._change(until, "did not begin its answer in time")

    async def read(self, until: float) -> bytes:
        """What has come of the body since the last read, at least one byte of it; nothing where it is whole."""
        while not self._chunks:
            if self._done:
                return b""
            await self._change(until, "stopped in the middle of its answer")
        return self._taken()

    async def flow(self, sink: Sink, idle_s: float, end: float) -> bool:
        """Give the body to `sink` as it comes, nobody being woken for it, until it wants no more; False at the end.

        No piece may come later than `idle_s` after the one before, nor than `end`, an instant of the loop's clock.
        """
        self._patience, self._end = idle_s, end
        while True:
            if self._chunks and not sink(self._taken()):
                return True
            if self._done:
                return False
            self._sink = sink
            try:
                await self._change(min(self._loop.time() + idle_s, end), "stopped in the middle of its answer")
                if self._sink is None:
                    return True
            finally:
                self._sink = None

    def _taken(self) -> bytes:
        data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self._held = 0
        if self._paused:
            self._paused = False
            self.transport.resume_reading()
        return data

    async def _change(self, until: float, late: str) -> None:
        if self._fault:
            raise self._fault
        if self.transport.is_closing() and not self._fed:
            raise self._unanswered()
        self._waiter = waiter = self._loop.create_future()
        self._until = until
        self._timer = self._loop.call_at(until, self._expire, late)
        try:
            await waiter
        finally:
            self._timer.cancel()
            self._waiter = None

    # Giving it back

    @property
    def reusable(self) -> bool:
        """Whether the answer was read to its end and the server will take another request."""
        framed = self._head is not None and self._head.framed
        read = self._done and not self._chunks and not self._fault
        unsent = self.transport.get_write_buffer_size()
        return framed and read and self._keep and not unsent and not self.transport.is_closing()

    def rest(self) -> None:
        """Wait for the next request; anything the server says before it closes the connection."""
        self._asked = False
        self.idle_since = self._loop.time()

    @property
    def fit(self) -> bool:
        """Whether a resting connection can be asked: the kernel holds neither its end nor a word out of turn."""
        if self.transport.is_closing():
            return False
        waiting = select.poll()
        waiting.register(self.transport.get_extra_info("socket").fileno(), select.POLLIN | select.POLLRDHUP)
        return not waiting.poll(0)

    def close(self) -> None:
        """Close at once, whatever is under way."""
        self.transport.abort()

    # What the event loop says

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]  # TCP gives nothing less

    def data_received(self, data: bytes) -> None:
        if not self._asked or self._fault:
            self.transport.abort()
            return
        self._fed += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._keep = False
            self._fail(UpstreamBroken(f"upstream {self.where}: its answer is not valid HTTP/1.1"))
        if self._head is None and self._fed > HEAD_BYTES:
            self._fail(UpstreamBroken(f"upstream {self.where}: its answer's head is over {HEAD_BYTES} bytes"))
        if self._sink is None or self._done or self._fault:
            self._wake()
        elif self._chunks:
            self._pour(self._sink)

    def _pour(self, sink: Sink) -> None:
        """Give `sink` what has come, unless who waits is on its way already."""
        waiter = self._waiter
        if waiter is None or waiter.done():
            return
        self._until = min(self._loop.time() + self._patience, self._end)
        try:
            if not sink(self._taken()):
                self._sink = None
                waiter.set_result(None)
        except Exception as error:  # noqa: BLE001 - it is for who waits, not for the event loop
            waiter.set_exception(error)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._head and not self._head.framed and exc is None:
            self._done = True
        self._fail(
            UpstreamBroken(f"upstream {self.where}: its answer was cut off") if self._fed else self._unanswered()
        )
        self._wake()

    def _unanswered(self) -> UpstreamError:
        return UpstreamUnreachable(f"upstream {self.where}: closed the connection without an answer")

    def _expire(self, late: str) -> None:
        """Time is up, unless something came since and there is more of it: one timer serves a whole stream."""
        if self._loop.time() < self._until:
            self._timer = self._loop.call_at(self._until, self._expire, late)
            return
        self._fail(UpstreamTimeout(f"upstream {self.where}: {late}"))
        self._wake()

    def _fail(self, fault: UpstreamError) -> None:
        """Nothing more can come of this answer, unless it is there already."""
        if not self._done and not self._fault:
            self._fault = fault
            self.transport.abort()

    def _wake(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)

    # What the parser says

    def on_message_begin(self) -> None:
        if self._done:
            raise UpstreamBroken("more than one answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head:
            return  # a trailer
        if len(self._headers) == HEAD_FIELDS or len(name) + len(value) > HEAD_BYTES:
            raise UpstreamBroken("too many headers")
        self._headers.append((name.decode("latin-1").lower(), value.decode("latin-1").strip()))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status >= 200:
            names = {name for name, _ in self._headers}
            framed = status in {204, 304} or not names.isdisjoint({"content-length", "transfer-encoding"})
            self._head = Head(status, tuple(self._headers), framed)

    def on_body(self, data: bytes) -> None:
        self._chunks.append(data)
        self._held += len(data)
        if self._held > HIGH_WATER and not self._paused:
            self._paused = True
            self.transport.pause_reading()

    def on_message_complete(self) -> None:
        if self._head:
            self._done = True
            self._keep = self._parser.should_keep_alive()
            return
        self._headers.clear()
        self._interim += 1
        if self._interim > INTERIM:
            raise UpstreamBroken("too many interim answers")
