"""The least that can stand between a client and a model: `python relay.py PORT` copies bytes, on uvloop.

Prints the port it listens on. What a chunk costs here is the machine's price for being woken, reading and writing.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import uvloop


class Half(asyncio.Protocol):
    """Writes to the other half what it reads; what comes before there is one is kept."""

    def __init__(self, other: Half | None = None) -> None:
        self.other, self.kept, self.transport = other, b"", None
        self.transport: Any

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        if self.other is None:
            asyncio.get_running_loop().create_task(self._dial())
        else:
            transport.write(self.other.kept)  # type: ignore[attr-defined]  # a Transport

    def data_received(self, data: bytes) -> None:
        if self.other is None or self.other.transport is None:
            self.kept += data
        else:
            self.other.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio.Protocol's
        if self.other is not None and self.other.transport is not None:
            self.other.transport.close()

    async def _dial(self) -> None:
        self.other = Half(self)
        await asyncio.get_running_loop().create_connection(lambda: self.other, "127.0.0.1", int(sys.argv[1]))


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Half, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
