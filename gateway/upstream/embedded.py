"""`kind: embedded`: a small model in a child process (`gateway.upstream.llama`), asked like any OpenAI server.

`running` owns the child and belongs to the process that starts things; `Embedded` only knows where it answers.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from gateway.config.schema import EmbeddedSpec, OpenAISpec
from gateway.errors import UpstreamUnavailable
from gateway.upstream import llama
from gateway.upstream.direct import Direct
from gateway.upstream.pool import Pool

READY_S = 120.0  # to hash, map and warm up a model on a slow disk
BACKOFF_S = (0.5, 30.0)  # first and longest pause before it is started again
STEADY_S = 60.0  # alive for so long, its next start counts as a first one
LINES = 20  # of its standard error, told where it fails


class Embedded(Direct):
    """The embedded model that answers at `base_url`."""

    def __init__(self, spec: EmbeddedSpec, base_url: str, pool: Pool) -> None:
        server = OpenAISpec(name=spec.name, kind="openai", base_url=base_url, timeouts=spec.timeouts)
        # llama.cpp closes after a stream without saying so before; a connection over loopback costs next to nothing.
        super().__init__(server, pool, keep=False)


@asynccontextmanager
async def running(spec: EmbeddedSpec, port: int = 0) -> AsyncIterator[str]:
    """The base URL of the model, which answers by then. It is started again whenever it dies, at the same URL.

    Raises ConfigError where there is no such model, UpstreamUnavailable where it does not start at first.
    """
    model = Model(spec, port or free_port())
    keeper = asyncio.create_task(model.keep())
    ready = asyncio.create_task(model.ready.wait())
    try:
        await asyncio.wait({keeper, ready}, timeout=READY_S, return_when=asyncio.FIRST_COMPLETED)
        if keeper.done():
            await keeper
        if not model.ready.is_set():
            raise UpstreamUnavailable(f"upstream {spec.name}: the model did not start within {READY_S:g} s")
        yield model.base_url
    finally:
        for task in (keeper, ready):
            task.cancel()
        await asyncio.gather(keeper, ready, return_exceptions=True)


class Model:
    """The child process: started, waited for, started again."""

    def __init__(self, spec: EmbeddedSpec, port: int) -> None:
        self._spec = spec
        self._port = port
        self._path, self._sha256 = llama.located(spec.model, spec.sha256)
        self._said: deque[str] = deque(maxlen=LINES)
        self.base_url = f"http://127.0.0.1:{port}/v1"
        self.ready = asyncio.Event()

    async def keep(self) -> None:
        """Keep it alive. Ends only where it never came up; raises UpstreamUnavailable then."""
        loop = asyncio.get_running_loop()
        pause = BACKOFF_S[0]
        while True:
            began = loop.time()
            status = await self._lived()
            failure = f"upstream {self._spec.name}: the model's process ended with status {status}"
            if not self.ready.is_set():
                raise UpstreamUnavailable("\n".join([failure, *self._said]))
            sys.stderr.write("\n".join([failure, *self._said, ""]))
            pause = BACKOFF_S[0] if loop.time() - began > STEADY_S else min(2 * pause, BACKOFF_S[1])
            await asyncio.sleep(pause)

    async def _lived(self) -> int:
        """Run it once; its exit status."""
        self._said.clear()
        process = await asyncio.create_subprocess_exec(
            *self._command(), stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE, start_new_session=True
        )
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._listen(process))
                poll = group.create_task(self._poll())
                status = await process.wait()
                poll.cancel()
            return status
        finally:
            await _ended(process)

    def _command(self) -> list[str]:
        given = {
            "model": str(self._path),
            "name": self._spec.model,
            "port": str(self._port),
            "context": str(self._spec.context),
            "parallel": str(self._spec.parallel),
            "parent": str(os.getpid()),
        }
        given |= {"sha256": self._sha256} if self._sha256 else {}
        given |= {"pooling": self._spec.pooling} if self._spec.pooling else {}
        return [sys.executable, "-m", "gateway.upstream.llama", *(f"--{name}={value}" for name, value in given.items())]

    async def _listen(self, process: Process) -> None:
        assert process.stderr is not None  # noqa: S101 - it was asked for
        while line := await process.stderr.readline():
            self._said.append(line.decode(errors="replace").rstrip())

    async def _poll(self) -> None:
        while not await healthy(self._port):  # noqa: ASYNC110 - another process's state has no event to wait for
            await asyncio.sleep(0.05)
        self.ready.set()


async def healthy(port: int) -> bool:
    """Whether llama.cpp at `port` says that its model is loaded."""
    try:
        async with asyncio.timeout(2):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            status = await reader.readline()
            writer.close()
    except (OSError, TimeoutError):
        return False
    return b" 200 " in status


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


async def _ended(process: Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()
