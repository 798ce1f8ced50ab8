"""An HTTP/1.1 server on loopback that does what a test's script says, faults included, and remembers what it saw.

    async with scripted() as server:
        server.play(answer({"ok": True}), Script((Send(head(200)), Hang())))   # one script a request, in order
        ...                                                                    # then `server.default` (echo)
        assert server.seen[0].json()["model"] == "m"

Steps are in `support.script`, what models say in `support.answers`. It knows nothing of the gateway.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import assert_never, cast

from support.answers import echo
from support.script import Close, Hang, Reset, Script, Seen, Send, Wait


class Server:
    """Plays scripts. `base_url` is what an upstream is configured with; `transports` are the connections open now."""

    def __init__(self, default: Callable[[Seen], Script]) -> None:
        self.default = default
        self.seen: list[Seen] = []
        self.accepted = 0
        self.port = 0
        self.scheme = "http"
        self.tasks: set[asyncio.Task[None]] = set()
        self.transports: set[asyncio.Transport] = set()
        self._scripts: deque[Script] = deque()

    @property
    def base_url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/v1"

    def play(self, *scripts: Script) -> None:
        """Add scripts for the next requests, one each."""
        self._scripts.extend(scripts)

    def always(self, script: Script) -> None:
        """Play `script` for every request that has none of its own."""
        self.default = lambda _: script

    def forget(self) -> None:
        """Drop scripts not yet played and requests seen: for a server that several tests share."""
        self._scripts.clear()
        self.seen.clear()

    def due(self, on: str) -> Script | None:
        """Take the next script if it is one for the moment `on`."""
        return self._scripts.popleft() if self._scripts and self._scripts[0].on == on else None

    async def saw(self, count: int = 1, timeout: float = 10.0) -> Seen:  # noqa: ASYNC109  a test's patience, not a deadline
        """Wait until `count` requests came; return the last of them."""
        async with asyncio.timeout(timeout):
            while len(self.seen) < count:  # noqa: ASYNC110  requests come from sockets, nobody could set an event per count
                await asyncio.sleep(0.002)
        return self.seen[count - 1]


class _Connection(asyncio.Protocol):
    """One client: reads requests, plays their scripts one after the other."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.buffer = b""
        self.seen = Seen(0)
        self.task: asyncio.Task[None] | None = None
        self.writable = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance
        self.server.accepted += 1
        self.server.transports.add(transport)
        self.seen = Seen(self.server.accepted)
        self.writable.set()
        if script := self.server.due("accept"):
            self._begin(script)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        self._advance()

    def eof_received(self) -> None:
        self._left()

    def connection_lost(self, exc: Exception | None) -> None:
        self.server.transports.discard(self.transport)
        self.writable.set()
        self._left()

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def _left(self) -> None:
        self.seen.gone.set()
        if self.task:
            self.task.cancel()

    def _advance(self) -> None:
        if self.task or b"\r\n\r\n" not in self.buffer:
            return
        script = self.server.due("head")
        whole = _parse(self.buffer, self.seen)
        if script or whole is not None:
            self.buffer = b"" if whole is None else whole
            self.server.seen.append(self.seen)
            self._begin(script or self.server.due("request") or self.server.default(self.seen))

    def _begin(self, script: Script) -> None:
        self.task = asyncio.get_running_loop().create_task(self._play(script))
        self.server.tasks.add(self.task)
        self.task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        self.server.tasks.discard(task)
        self.task = None
        if not task.cancelled():
            task.result()
        if not self.transport.is_closing():
            self.seen = Seen(self.seen.connection, gone=self.seen.gone)
            self._advance()

    async def _play(self, script: Script) -> None:
        for step in script.steps:
            match step:
                case Send(data):
                    self.transport.write(data)
                    await self.writable.wait()
                case Wait(seconds):
                    await asyncio.sleep(seconds)
                case Hang():
                    await self.seen.gone.wait()
                case Reset():
                    self._reset()
                case Close():
                    self.transport.close()
                case _ as never:
                    assert_never(never)
        self.seen.played.set()

    def _reset(self) -> None:
        raw = self.transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


def _parse(data: bytes, seen: Seen) -> bytes | None:
    """Fill `seen` from `data`; return what follows the request, or None where its body is not all there."""
    head, _, rest = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    seen.method, seen.target, _ = first.split(" ", 2)
    pairs = (line.partition(":") for line in lines)
    seen.headers = tuple((name, value.strip()) for name, _, value in pairs)
    whole = _chunks(rest) if "chunked" in seen.header("transfer-encoding") else _sized(rest, seen)
    if whole is None:
        return None
    seen.body, after = whole
    seen.raw = data[: len(data) - len(after)]
    return after


def _sized(rest: bytes, seen: Seen) -> tuple[bytes, bytes] | None:
    size = int(seen.header("content-length", "0"))
    return (rest[:size], rest[size:]) if len(rest) >= size else None


def _chunks(rest: bytes) -> tuple[bytes, bytes] | None:
    body = b""
    while b"\r\n" in rest:
        line, _, rest = rest.partition(b"\r\n")
        size = int(line.split(b";")[0], 16)
        if len(rest) < size + 2:
            return None
        body, rest = body + rest[:size], rest[size + 2 :]
        if size == 0:
            return body, rest
    return None


@asynccontextmanager
async def scripted(
    default: Callable[[Seen], Script] = echo, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Server]:
    """A server on a free loopback port, gone with all it plays when left. `default` answers unscripted requests."""
    server = Server(default)
    listener = await asyncio.get_running_loop().create_server(lambda: _Connection(server), "127.0.0.1", 0, ssl=tls)
    server.port = listener.sockets[0].getsockname()[1]
    server.scheme = "https" if tls else "http"
    try:
        yield server
    finally:
        listener.close()
        for task in tuple(server.tasks):
            task.cancel()
        for transport in tuple(server.transports):
            transport.abort()
        await asyncio.gather(*server.tasks, return_exceptions=True)


@contextmanager
def refusing() -> Iterator[str]:
    """A base URL where every connection is refused: a port kept bound, nobody listening."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{sock.getsockname()[1]}/v1"
