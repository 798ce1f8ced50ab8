"""`kind: openai`: a server that speaks OpenAI's HTTP API, asked over our own connections.

No proxy of the environment, no redirect, no cookie, no client's header: what is sent is what is written here.
"""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from urllib.parse import urlsplit

from gateway import __version__
from gateway.config.schema import OpenAISpec, Timeouts
from gateway.errors import UpstreamBroken, UpstreamError
from gateway.upstream import Ask, Chunks, Reply
from gateway.upstream.body import SSE_END, Body
from gateway.upstream.connection import Connection, Head
from gateway.upstream.keys import REFUSALS, Keys
from gateway.upstream.patience import retry_after
from gateway.upstream.pool import Origin, Pool

BODY_BYTES = 64 * 1024 * 1024  # of one answer, decoded
UNZIPPED = 64 * 1024  # bytes inflated at a time, so a small bomb stays small
ACCEPTED = "accept: application/json"


class Direct:
    """An OpenAI-compatible server. Its `repr` and its errors name it and never show its key."""

    def __init__(self, spec: OpenAISpec, pool: Pool, *, keep: bool = True) -> None:
        """`keep`: whether its connections are used again."""
        self.name = spec.name
        self._keep = keep
        self._pool = pool
        self._origin = Origin.of(spec.base_url)
        self._path = urlsplit(spec.base_url).path.rstrip("/")
        self._timeouts = spec.timeouts
        self._secrets = spec.api_keys or (spec.api_key,)
        self._keys = Keys(len(self._secrets), time.monotonic)
        self._heads: dict[tuple[str, bool, int], bytes] = {}  # by endpoint, streaming, key: what never changes

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    @asynccontextmanager
    async def send(self, ask: Ask) -> AsyncIterator[Reply]:
        """Open a reply; leaving closes the connection unless the reply was read to its end.

        Raises UpstreamUnreachable, UpstreamTimeout, and UpstreamBroken where the answer is not HTTP.
        """
        clock = _Clock(self._timeouts)
        tried: list[int] = []
        number = self._keys.take()
        while number is not None:
            connection = await self._pool.take(self._origin, self.name, clock.connect)
            try:
                connection.ask(self.name, self._request(ask, number), ask.body)
                first = clock.first_byte()
                head = await connection.head(first)
                tried.append(number)
                if (number := self._other(head, tried)) is not None:
                    continue
                if ask.stream and head.status < 300:
                    await connection.some(first)
                chunks = self._chunks(connection, clock, head, ask)
                async with aclosing(chunks):
                    yield Reply(head.status, _told(head), chunks)
            finally:
                self._pool.give(self._origin, connection)

    def _other(self, head: Head, tried: Sequence[int]) -> int | None:
        """The key to ask with instead, where this one was refused and there is another."""
        if head.status not in REFUSALS:
            return None
        self._keys.refused(tried[-1], head.status, retry_after(head.get, time.time))
        return self._keys.take(tried)

    def _request(self, ask: Ask, number: int) -> bytes:
        key = (ask.endpoint, ask.stream, number)
        fixed = self._heads.get(key) or self._heads.setdefault(key, self._fixed(*key))
        extra = "".join(f"{name}: {value}\r\n" for name, value in ask.headers)
        if extra.count("\n") != len(ask.headers):
            raise ValueError("a header must be one line")
        return b"%b%bcontent-length: %d\r\n\r\n" % (fixed, extra.encode("latin-1"), len(ask.body))

    async def well(self, path: str, seconds: float) -> bool:
        """Whether the server answers a GET of `path` below its base URL with a 2xx within `seconds`."""
        until = asyncio.get_running_loop().time() + seconds
        try:
            connection = await self._pool.take(self._origin, self.name, seconds)
        except UpstreamError:
            return False
        try:
            connection.ask(self.name, self._lines(f"GET {self._path}{path}", (ACCEPTED,), 0) + b"\r\n")
            head = await connection.head(until)
            while await connection.read(until):
                pass
        except UpstreamError:
            return False
        finally:
            self._pool.give(self._origin, connection)
        return 200 <= head.status < 300

    def _fixed(self, endpoint: str, stream: bool, number: int) -> bytes:
        accepted = "accept: text/event-stream" if stream else ACCEPTED
        return self._lines(f"POST {self._path}{endpoint}", ("content-type: application/json", accepted), number)

    def _lines(self, asked: str, content: tuple[str, ...], number: int) -> bytes:
        lines = [
            f"{asked} HTTP/1.1",
            f"host: {self._origin.authority}",
            f"user-agent: tidegate/{__version__}",
            *content,
            "accept-encoding: identity",
        ]
        if not self._keep:
            lines.append("connection: close")
        if secret := self._secrets[number]:
            lines.append(f"authorization: Bearer {secret.get_secret_value()}")
        return "".join(f"{line}\r\n" for line in lines).encode("latin-1")

    def _chunks(self, connection: Connection, clock: _Clock, head: Head, ask: Ask) -> Chunks:
        unzip = self._unzip(head)
        body = Body(connection, clock.idle_s, clock.end, BODY_BYTES, unframed=ask.stream and not head.framed)
        return self._unzipped(body, unzip) if unzip else body

    async def _unzipped(self, body: Body, unzip: _Unzip) -> AsyncGenerator[bytes, None]:
        size, tail, unframed, body.unframed = 0, b"", body.unframed, False
        async for data in body:
            for piece in unzip(data):
                size += len(piece)
                if size > BODY_BYTES:
                    raise UpstreamBroken(f"upstream {self.name}: its answer is over {BODY_BYTES} bytes")
                tail = (tail + piece[-32:])[-32:] if unframed else b""
                yield piece
        if not unzip.whole or (unframed and SSE_END not in tail):
            raise UpstreamBroken(f"upstream {self.name}: its answer was cut off")

    def _unzip(self, head: Head) -> _Unzip | None:
        """Identity was asked for; gzip is read all the same, as some servers send it unasked."""
        match head.get("content-encoding").lower():
            case "" | "identity":
                return None
            case "gzip" | "x-gzip":
                return _Unzip(self.name)
            case _:
                raise UpstreamBroken(f"upstream {self.name}: its answer has a content-encoding that was not asked for")


class _Clock:
    """Instants of the loop's clock by which things must have happened."""

    def __init__(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        self._now = asyncio.get_running_loop().time
        self.end = self._now() + timeouts.total_s
        self.idle_s = timeouts.idle_s
        self.connect = min(timeouts.connect_s, timeouts.total_s)

    def first_byte(self) -> float:
        return min(self._now() + self._timeouts.first_byte_s, self.end)


class _Unzip:
    """Inflates gzip piece by piece."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._inflate = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)

    @property
    def whole(self) -> bool:
        return self._inflate.eof

    def __call__(self, data: bytes) -> Iterator[bytes]:
        """What `data` inflates to, in pieces of at most `UNZIPPED` bytes."""
        full = True
        while data or full:
            piece = self._inflated(data)
            data, full = self._inflate.unconsumed_tail, len(piece) == UNZIPPED
            if piece:
                yield piece

    def _inflated(self, data: bytes) -> bytes:
        try:
            piece = self._inflate.decompress(data, UNZIPPED)
        except zlib.error:
            raise UpstreamBroken(f"upstream {self._where}: its answer is not the gzip it says it is") from None
        if self._inflate.unused_data:
            raise UpstreamBroken(f"upstream {self._where}: something follows its compressed answer")
        return piece


def _told(head: Head) -> tuple[tuple[str, str], ...]:
    """The headers as they hold for the decoded body."""
    if not head.get("content-encoding"):
        return head.headers
    return tuple((k, v) for k, v in head.headers if k not in {"content-encoding", "content-length"})
