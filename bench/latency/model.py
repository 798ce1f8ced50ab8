"""A model that answers at once: `python model.py` prints the port it listens on.

A request says in `max_tokens` how many characters it wants; a streamed one says in `metadata` how many `chunks`, and
how many `gap_ms` between two of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import cycle
from typing import Any

import orjson
import uvloop

PROSE = (
    "The harbour wakes before the town does. Nets are mended on the quay, and somebody counts 12 crates twice. "
    "By seven the ferry has left with its 40 passengers, and the café on the corner has run out of rolls. "
    "Nobody hurries; the tide will be back at six, and with it the boats, the gulls and the noise. "
)


def said(size: int) -> str:
    return (PROSE * (size // len(PROSE) + 1))[:size]


def body(size: int) -> bytes:
    message = {"role": "assistant", "content": said(size)}
    usage = {"prompt_tokens": 9, "completion_tokens": size // 4, "total_tokens": 9 + size // 4}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return orjson.dumps({**_head("chat.completion"), "choices": [choice], "usage": usage})


def chunks(count: int) -> Iterator[bytes]:
    words = cycle(PROSE.split())
    for _ in range(count):
        yield chunk({"content": f" {next(words)}"}, None)
    yield chunk({}, "stop") + b"data: [DONE]\n\n"


def chunk(delta: dict[str, str], finish: str | None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return b"data: " + orjson.dumps({**_head("chat.completion.chunk"), "choices": [choice]}) + b"\n\n"


def _head(kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-9uQkZ3h8xYb1", "object": kind, "created": 1_700_000_000, "model": "m-2024-07-18"}


class Connection(asyncio.Protocol):
    """One client's connection: a request at a time, keep-alive."""

    def __init__(self) -> None:
        self.got = b""
        self.task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio.Protocol's
        if self.task:
            self.task.cancel()

    def data_received(self, data: bytes) -> None:
        self.got += data
        head, end, rest = self.got.partition(b"\r\n\r\n")
        if not end:
            return
        size = next(
            (int(v) for k, _, v in (h.partition(b":") for h in head.split(b"\r\n")) if k.lower() == b"content-length"),
            0,
        )
        if len(rest) < size:
            return
        self.got = rest[size:]
        self._answer(orjson.loads(rest[:size]) if size else {})

    def _answer(self, asked: dict[str, Any]) -> None:
        if not asked.get("stream"):
            raw = body(asked.get("max_tokens") or 64)
            head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(raw)}\r\n\r\n"
            self.transport.write(head.encode() + raw)
        else:
            self.task = asyncio.get_running_loop().create_task(self._stream(asked.get("metadata") or {}))

    async def _stream(self, told: dict[str, Any]) -> None:
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        self.transport.write(head)
        for piece in chunks(int(told.get("chunks", 10))):
            await asyncio.sleep(float(told.get("gap_ms", 0)) / 1000)
            self.transport.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.transport.write(b"0\r\n\r\n")


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
