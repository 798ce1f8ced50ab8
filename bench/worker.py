"""One call to an echoing worker: ours, asyncio's streams, pyzmq. Microseconds of time and of CPU on both sides.

python bench/worker.py [--calls 20000] [--uvloop]
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import uvloop

from gateway.worker.client import Client
from gateway.worker.supervisor import Host, Supervisor

try:
    zmq: Any = importlib.import_module("zmq.asyncio")
except ImportError:
    zmq = None

DEALER, ROUTER = 5, 6  # ZMQ_DEALER, ZMQ_ROUTER
ROOT = Path(__file__).parent.parent
PAYLOAD = {"texts": ["The quick brown fox jumps over the lazy dog. " * 7], "stage": "input"}
Ask = Callable[[Any], Awaitable[Any]]


@asynccontextmanager
async def ours(path: Path) -> AsyncIterator[tuple[Ask, int]]:
    host = Host("echo", "echoing", {}, path, {"PYTHONPATH": str(ROOT / "tests" / "worker" / "engines")})
    async with Supervisor([host], lambda *_: None) as supervisor, Client(path, name="echo") as client:
        await supervisor.ready(30)
        pid = (await client.ping(deadline_s=5))["pid"]
        yield (lambda payload: client.call("echo", payload, deadline_s=5)), pid


@asynccontextmanager
async def streams(path: Path) -> AsyncIterator[tuple[Ask, int]]:
    """The least that asyncio's own streams can do: a number, a future, a deadline."""
    with forked(lambda: stream_server(path)) as pid:
        reader, writer = await dialled(path)
        pending: dict[int, asyncio.Future[Any]] = {}
        task = asyncio.create_task(collect(reader, pending))
        numbers = iter(range(1 << 60))

        async def ask(payload: Any) -> Any:
            number = next(numbers)
            body = orjson.dumps([number, payload])
            answer = pending[number] = asyncio.get_running_loop().create_future()
            writer.write(len(body).to_bytes(4, "big") + body)
            await writer.drain()
            async with asyncio.timeout(5):
                return await answer

        yield ask, pid
        task.cancel()
        writer.close()


@asynccontextmanager
async def zeromq(path: Path) -> AsyncIterator[tuple[Ask, int]]:
    """DEALER and ROUTER, multiplexed in the same way."""
    with forked(lambda: zmq_server(path)) as pid, zmq.Context() as context:
        pipe = context.socket(DEALER)
        pipe.connect(f"ipc://{path}")
        pending: dict[int, asyncio.Future[Any]] = {}

        async def receive() -> None:
            while True:
                number, payload = orjson.loads(await pipe.recv())
                pending.pop(number).set_result(payload)

        task = asyncio.create_task(receive())
        numbers = iter(range(1 << 60))

        async def ask(payload: Any) -> Any:
            number = next(numbers)
            answer = pending[number] = asyncio.get_running_loop().create_future()
            await pipe.send(orjson.dumps([number, payload]))
            async with asyncio.timeout(5):
                return await answer

        yield ask, pid
        task.cancel()
        pipe.close(linger=0)


async def collect(reader: asyncio.StreamReader, pending: dict[int, asyncio.Future[Any]]) -> None:
    while True:
        size = int.from_bytes(await reader.readexactly(4), "big")
        number, payload = orjson.loads(await reader.readexactly(size))
        pending.pop(number).set_result(payload)


async def stream_server(path: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def answer(body: bytes) -> None:
            writer.write(len(body).to_bytes(4, "big") + orjson.dumps(orjson.loads(body)))
            await writer.drain()

        tasks: set[asyncio.Task[None]] = set()
        while True:
            body = await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big"))
            tasks.add(task := asyncio.create_task(answer(body)))
            task.add_done_callback(tasks.discard)

    async with await asyncio.start_unix_server(serve, path) as server:
        await server.serve_forever()


async def zmq_server(path: Path) -> None:
    with zmq.Context() as context:
        pipe = context.socket(ROUTER)
        pipe.bind(f"ipc://{path}")

        async def answer(who: bytes, body: bytes) -> None:
            await pipe.send_multipart([who, orjson.dumps(orjson.loads(body))])

        tasks: set[asyncio.Task[None]] = set()
        while True:
            who, body = await pipe.recv_multipart()
            tasks.add(task := asyncio.create_task(answer(who, body)))
            task.add_done_callback(tasks.discard)


class forked:  # noqa: N801 - used as a function
    """A child that runs one coroutine until it is killed. Started anew, so that it shares no event loop."""

    def __init__(self, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._main = main

    def __enter__(self) -> int:
        self.pid = os.fork()
        if self.pid == 0:
            asyncio.events._set_running_loop(None)  # noqa: SLF001 - the parent's
            asyncio.run(self._main())
        return self.pid

    def __exit__(self, *_: object) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


async def dialled(path: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    while True:
        try:
            return await asyncio.open_unix_connection(path)
        except OSError:
            await asyncio.sleep(0.01)


def cpu(pid: int) -> float:
    """Seconds that a process has run: schedstat counts nanoseconds, of its first thread."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


async def measure(name: str, opened: Any, calls: int) -> None:
    with tempfile.TemporaryDirectory(prefix="bw") as folder:
        async with opened(Path(folder) / "s") as (ask, pid):
            for _ in range(500):
                await ask(PAYLOAD)
            for width in (1, 32):
                print(f"{name:10} {await figures(ask, pid, calls, width)}")


async def figures(ask: Ask, pid: int, calls: int, width: int) -> str:
    times: list[float] = []

    async def caller() -> None:
        for _ in range(calls // width):
            started = time.perf_counter()
            await ask(PAYLOAD)
            times.append(time.perf_counter() - started)

    mine, its, started = time.process_time(), cpu(pid), time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(width)))
    took, mine, its = time.perf_counter() - started, time.process_time() - mine, cpu(pid) - its
    cuts = statistics.quantiles(times, n=100)
    each = 1e6 / len(times)
    return (
        f"{width:3} at once: round trip p50 {cuts[49] * 1e6:7.0f} µs, p99 {cuts[98] * 1e6:7.0f} µs; per call: "
        f"{took * each:6.1f} µs of time, {mine * each:6.1f} µs of CPU here, {its * each:6.1f} µs in the worker"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--uvloop", action="store_true", help="for the caller, as under uvicorn")
    args = parser.parse_args()
    run = uvloop.run if args.uvloop else asyncio.run
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {run.__module__}")
    for name, opened in {"ours": ours, "streams": streams, "pyzmq": zeromq}.items():
        if opened is zeromq and zmq is None:
            print("pyzmq      not installed")
        else:
            run(measure(name, opened, args.calls))


if __name__ == "__main__":
    main()
