"""Connections to servers, kept alive by origin. One pool a process; it knows no upstream and no proxy."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections import defaultdict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from gateway.errors import UpstreamTimeout, UpstreamUnreachable
from gateway.upstream.connection import Connection

IDLE_S = 30.0  # a connection idle for longer is more likely closed by a middlebox than alive
IDLE_MOST = 256  # connections kept for one origin


@dataclass(frozen=True, slots=True)
class Origin:
    host: str
    port: int
    tls: bool

    @classmethod
    def of(cls, url: str) -> Origin:
        parts = urlsplit(url)
        tls = parts.scheme == "https"
        return cls(parts.hostname or "", parts.port or (443 if tls else 80), tls)

    @property
    def authority(self) -> str:
        """As a `host` header has it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"


class Pool:
    """`take` a connection, use it for one request, `give` it back."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        self._tls = tls
        self._idle: defaultdict[Origin, deque[Connection]] = defaultdict(deque)

    async def take(self, origin: Origin, where: str, seconds: float) -> Connection:
        """A live connection, the one used last or a new one.

        Raises UpstreamUnreachable and, where it takes longer than `seconds`, UpstreamTimeout; `where` names the server.
        """
        idle = self._idle[origin]
        self._sweep(idle)
        while idle:
            connection = idle.pop()
            if connection.fit:
                return connection
            connection.close()
        return await self._connect(origin, where, seconds)

    def give(self, origin: Origin, connection: Connection) -> None:
        """Keep what can be asked again, close the rest at once."""
        idle = self._idle[origin]
        if connection.reusable and len(idle) < IDLE_MOST:
            connection.rest()
            idle.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        for idle in self._idle.values():
            for connection in idle:
                connection.close()
        self._idle.clear()

    def _sweep(self, idle: deque[Connection]) -> None:
        """Drop, oldest first, what has rested too long."""
        oldest = asyncio.get_running_loop().time() - IDLE_S
        while idle and idle[0].idle_since < oldest:
            idle.popleft().close()

    async def _connect(self, origin: Origin, where: str, seconds: float) -> Connection:
        loop = asyncio.get_running_loop()
        tls = self._tls if origin.tls else None
        try:
            async with asyncio.timeout(seconds):
                _, connection = await loop.create_connection(Connection, origin.host, origin.port, ssl=tls)
        except TimeoutError:
            raise UpstreamTimeout(f"upstream {where}: no connection within {seconds:g} s") from None
        except ssl.SSLCertVerificationError as error:
            raise UpstreamUnreachable(f"upstream {where}: its certificate: {error.verify_message}") from None
        except ssl.SSLError:
            raise UpstreamUnreachable(f"upstream {where}: no TLS with it") from None
        except (OSError, UnicodeError) as error:
            raise UpstreamUnreachable(f"upstream {where}: {_reason(error)}") from None
        return connection


def _reason(error: OSError | UnicodeError) -> str:
    if isinstance(error, socket.gaierror | UnicodeError):
        return "its name has no address"
    return os.strerror(error.errno) if error.errno else "none of its addresses can be connected to"


@asynccontextmanager
async def open_pool(tls: ssl.SSLContext | None = None) -> AsyncIterator[Pool]:
    """The process's pool; its connections are closed on leaving. `tls` is the platform's trust unless given."""
    pool = Pool(tls or ssl.create_default_context())
    try:
        yield pool
    finally:
        pool.close()
