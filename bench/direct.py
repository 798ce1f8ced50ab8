"""CPU time of one exchange with an upstream: `Direct` beside plain pyreqwest, both against the same small server.

    python bench/direct.py [--requests 3000] [--rounds 5]

The server runs in a process of its own; what is printed is this process's CPU time, all threads of it, so a Rust
runtime's thread counts too. Best of the rounds, which alternate. Also printed: by how much a deadline is overrun.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import time
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection

import uvloop
from pyreqwest.client import Client, ClientBuilder

from gateway.config.schema import OpenAISpec, Timeouts
from gateway.errors import UpstreamTimeout
from gateway.upstream import Ask
from gateway.upstream.direct import Direct
from gateway.upstream.pool import Pool, open_pool

EVENTS = 100
PAUSE_S = 0.005
BODY = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hello " * 20}]}).encode()
ANSWER = json.dumps(
    {"id": "x", "object": "chat.completion", "choices": [{"message": {"content": "word " * 60}}]}
).encode()
EVENT = b"data: " + json.dumps({"id": "x", "choices": [{"index": 0, "delta": {"content": "word "}}]}).encode() + b"\n\n"

Ways = dict[str, Callable[[], Awaitable[int]]]


class _Server(asyncio.Protocol):
    """Answers by path: `/whole`, `/stream` (events, a pause apart), `/never`."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.task: asyncio.Task[None] | None = None

    def data_received(self, data: bytes) -> None:
        if data.startswith(b"POST /whole"):
            self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(ANSWER), ANSWER))
        elif data.startswith(b"POST /stream"):
            self.task = asyncio.create_task(self.stream())

    async def stream(self) -> None:
        self.transport.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for _ in range(EVENTS):
            self.transport.write(b"%x\r\n%b\r\n" % (len(EVENT), EVENT))
            await asyncio.sleep(PAUSE_S)
        self.transport.write(b"0\r\n\r\n")


def serve(pipe: Connection) -> None:
    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(_Server, "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        await asyncio.to_thread(pipe.recv)

    uvloop.run(main())


def by_direct(base: str, path: str, pool: Pool) -> Callable[[], Awaitable[int]]:
    direct = Direct(OpenAISpec(name="far", kind="openai", base_url=base), pool)
    ask = Ask(path, BODY, stream=path == "/stream")

    async def once() -> int:
        async with direct.send(ask) as reply:
            return sum([len(part) async for part in reply.chunks])

    return once


def by_pyreqwest(base: str, path: str, client: Client) -> Callable[[], Awaitable[int]]:
    async def once() -> int:
        request = client.post(base + path).header("content-type", "application/json").body_bytes(BODY)
        async with request.streamed_read_buffer_limit(0).build_streamed() as response:
            size = 0
            while (part := await response.body_reader.read_chunk()) is not None:
                size += len(bytes(part))
            return size

    return once


async def cpu(once: Callable[[], Awaitable[int]], count: int, width: int) -> float:
    """Seconds of CPU per call, `width` under way at a time."""

    async def lane() -> None:
        for _ in range(count // width):
            await once()

    began = time.process_time()
    await asyncio.gather(*(lane() for _ in range(width)))
    return (time.process_time() - began) / (count // width * width)


async def compared(title: str, ways: Ways, count: int, width: int, rounds: int, per: float) -> None:
    sizes = {name: await once() for name, once in ways.items()}
    assert len(set(sizes.values())) == 1, sizes
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(rounds):
        for name, once in ways.items():
            best[name] = min(best[name], await cpu(once, count, width))
    print(f"{title:44}", *(f"{name} {seconds / per * 1e6:7.1f} µs" for name, seconds in best.items()), sep="  ")


async def overrun(base: str, pool: Pool, count: int) -> None:
    """How much later than its deadline a request to a silent server ends, at worst."""
    timeouts = Timeouts(first_byte_s=0.2)
    direct = Direct(OpenAISpec(name="far", kind="openai", base_url=base, timeouts=timeouts), pool)
    late = []
    for _ in range(count):
        began = time.monotonic()
        try:
            async with direct.send(Ask("/never", BODY, stream=False)):
                raise AssertionError("a silent server answered")
        except UpstreamTimeout:
            late.append(time.monotonic() - began - timeouts.first_byte_s)
    print(
        f"deadline of {timeouts.first_byte_s * 1e3:.0f} ms overrun by at most {max(late) * 1e3:.1f} ms ({count} times)"
    )


async def measured(base: str, requests: int, rounds: int) -> None:
    async with open_pool() as pool, ClientBuilder().no_proxy().build() as client:
        whole: Ways = {
            "Direct": by_direct(base, "/whole", pool),
            "pyreqwest": by_pyreqwest(base, "/whole", client),
        }
        slow: Ways = {
            "Direct": by_direct(base, "/stream", pool),
            "pyreqwest": by_pyreqwest(base, "/stream", client),
        }
        await compared("whole answer, one at a time, per request", whole, requests, 1, rounds, 1)
        await compared("whole answer, 16 at a time, per request", whole, requests, 16, rounds, 1)
        await compared(f"stream of {EVENTS} slow events, 20 at a time, per event", slow, 40, 20, rounds, EVENTS)
        await overrun(base, pool, 20)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    server = context.Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    uvloop.run(measured(f"http://127.0.0.1:{ours.recv()}", given.requests, given.rounds))
    ours.send("stop")
    server.join(5)


if __name__ == "__main__":
    main()
