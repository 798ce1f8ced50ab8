"""A POST to an operator's own service, whose answer is read whole: over our own connections, which are kept.

No proxy of the environment, no redirect, no cookie: what is sent is what is written here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from urllib.parse import urlsplit

from gateway import __version__
from gateway.errors import UpstreamBroken
from gateway.upstream.connection import Connection, Head
from gateway.upstream.pool import Origin, Pool

_JSON = {"content-type": "application/json", "accept": "application/json"}

LARGEST = 4 * 1024 * 1024  # bytes of an answer


class Post:
    """Posts over a pool's connections. Errors name the service's host, never what was sent."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def post(self, url: str, body: bytes, headers: Mapping[str, str], *, deadline_s: float) -> tuple[int, bytes]:
        """Of JSON: the answer's status and body, a redirect's like any other's. Raises as `send` does."""
        head, content = await self.send(url, body, {**_JSON, **headers}, deadline_s)
        return head.status, content

    async def send(self, url: str, body: bytes, headers: Mapping[str, str], deadline_s: float) -> tuple[Head, bytes]:
        """Of anything, whose type `headers` tell: the answer's head and body.

        Raises UpstreamTimeout where it is not whole within `deadline_s`, UpstreamUnreachable where nobody answers,
        UpstreamBroken where the answer is no HTTP, compressed though that was not asked for, or over `LARGEST`.
        """
        origin = Origin.of(url)
        until = asyncio.get_running_loop().time() + deadline_s
        connection = await self._pool.take(origin, origin.host, deadline_s)
        try:
            connection.ask(origin.host, _request(url, origin, headers, len(body)), body)
            head = await connection.head(until)
            return head, await _read(connection, head, until)
        finally:
            self._pool.give(origin, connection)


async def _read(connection: Connection, head: Head, until: float) -> bytes:
    if head.get("content-encoding").lower() not in {"", "identity"}:
        raise UpstreamBroken(f"{connection.where}: its answer has a content-encoding that was not asked for")
    parts: list[bytes] = []
    size = 0
    while data := await connection.read(until):
        parts.append(data)
        size += len(data)
        if size > LARGEST:
            raise UpstreamBroken(f"{connection.where}: its answer is over {LARGEST} bytes")
    return b"".join(parts)


def _request(url: str, origin: Origin, headers: Mapping[str, str], length: int) -> bytes:
    parts = urlsplit(url)
    lines = [
        f"POST {parts.path or '/'}{f'?{parts.query}' if parts.query else ''} HTTP/1.1",
        f"host: {origin.authority}",
        f"user-agent: tidegate/{__version__}",
        "accept-encoding: identity",
        f"content-length: {length}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("a header must be one line")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
