"""Starts the worker hosts, watches them, restarts them with capped backoff, and leaves none behind."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import orjson

import gateway
from gateway.errors import WorkerError, WorkerFault, WorkerTimeout
from gateway.worker.client import Client
from gateway.worker.host import UNFIT

BACKOFF_S = (0.0, 0.0, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)  # after that many deaths of a host in a row
STEADY_S = 30.0  # a host that lived this long starts the count anew
FAREWELL_S = 2.0  # between SIGTERM and SIGKILL

OnEvent = Callable[[str, str, Mapping[str, Any]], None]
"""Called with the host's name, `worker.started`, `worker.restarted` or `worker.failed`, and the event's fields."""


@dataclass(frozen=True, slots=True)
class Host:
    """One worker to run. `spec` is JSON for the engine, and never shown; `env` is added to this process's own."""

    name: str
    engine: str
    spec: Any
    socket: Path
    env: Mapping[str, str] = field(default_factory=dict)
    limit: int = 64  # calls that run at once
    queue: int = 1024  # calls that may wait


class Supervisor:
    """Runs `hosts` while its context is open. Open it on the main thread: a host dies with the thread it came from."""

    def __init__(self, hosts: Sequence[Host], on_event: OnEvent) -> None:
        self._keepers = [Keeper(host, on_event) for host in hosts]
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(keeper.keep(), name=keeper.host.name) for keeper in self._keepers]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        broken = [e for e in ended if isinstance(e, Exception)]
        if broken:
            raise broken[0]

    async def ready(self, timeout_s: float) -> None:
        """Wait until every host answers. `WorkerFault` means one cannot start, `WorkerTimeout` one is slow."""
        await asyncio.gather(*(keeper.ready(timeout_s) for keeper in self._keepers))


class Keeper:
    """Keeps one host running."""

    def __init__(self, host: Host, on_event: OnEvent) -> None:
        self.host = host
        self._spec = orjson.dumps(host.spec)
        self._on_event = on_event
        self._up = asyncio.Event()
        self._generation = 0
        self._unfit = ""
        self._reason = ""  # why the server before this one went

    async def keep(self) -> None:
        """Run the host again and again, until cancelled or the host proves unfit before it ever answered."""
        streak = 0
        while True:
            since = time.monotonic()
            try:
                code = await self._run()
            except OSError as error:  # no process or no file descriptor to be had: later, perhaps
                self._reason = f"host {type(error).__name__}"
            else:
                self._reason = f"host {_cause(code)}"
                if code == UNFIT and not self._generation:
                    self._up.set()
                    return
            streak = 0 if time.monotonic() - since > STEADY_S else streak + 1
            self._say("worker.failed", reason=self._reason)
            await asyncio.sleep(BACKOFF_S[min(streak, len(BACKOFF_S) - 1)])

    async def ready(self, timeout_s: float) -> None:
        due = time.monotonic() + timeout_s
        with suppress(TimeoutError):
            await asyncio.wait_for(self._up.wait(), timeout_s)
        if self._unfit and not self._generation:
            raise WorkerFault(f"worker {self.host.name} cannot start: {self._unfit}")
        try:
            async with Client(self.host.socket, name=self.host.name) as client:
                await client.ready(due - time.monotonic())
        except WorkerError:
            said = self._unfit or self._reason or "no answer"
            raise WorkerTimeout(f"worker {self.host.name} is not ready after {timeout_s:g} s: {said}") from None

    async def _run(self) -> int:
        process = await self._spawn()
        try:
            await self._give_spec(process)
            await self._listen(process)
            return await process.wait()
        finally:
            await _ended(process)

    async def _spawn(self) -> Process:
        host = self.host
        options = {"engine": host.engine, "socket": host.socket, "limit": host.limit, "queue": host.queue}
        options |= {"generation": self._generation, "parent": os.getpid()}
        words = [word for key, value in options.items() for word in (f"--{key}", str(value))]
        # -P: a module in the folder we happen to be in must not shadow the real one.
        command = [sys.executable, "-P", "-m", "gateway.worker.host", *words]
        return await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, env=_environment(host.env), start_new_session=True
        )

    async def _give_spec(self, process: Process) -> None:
        assert process.stdin is not None  # noqa: S101 - it was asked for
        process.stdin.write(self._spec)
        with suppress(ConnectionError):  # it has died already, which `_listen` will find
            await process.stdin.drain()
        process.stdin.close()

    async def _listen(self, process: Process) -> None:
        assert process.stdout is not None  # noqa: S101 - it was asked for
        while line := await process.stdout.readline():
            with suppress(orjson.JSONDecodeError):
                self._heard(orjson.loads(line))

    def _heard(self, told: dict[str, Any]) -> None:
        match told.pop("event", None):
            case "ready":
                self._started(told)
            case "lost":
                self._reason = str(told["reason"])
            case "failed":
                self._unfit = str(told["message"])
                self._say("worker.failed", reason=self._unfit)

    def _started(self, told: dict[str, Any]) -> None:
        again, self._generation = self._generation > 0, int(told["generation"])
        self._up.set()
        if again:
            self._say("worker.restarted", **told, reason=self._reason)
        else:
            self._say("worker.started", **told)

    def _say(self, event: str, **fields: Any) -> None:
        try:
            self._on_event(self.host.name, event, fields)
        except Exception as error:  # noqa: BLE001 - a worker must not go down with whoever writes down its events
            sys.stderr.write(f"worker {self.host.name}: {event} was not recorded: {type(error).__name__}\n")


def _environment(added: Mapping[str, str]) -> dict[str, str]:
    """Ours and the host's, with this very package findable."""
    root = str(Path(gateway.__file__).parent.parent)
    paths = [root, added.get("PYTHONPATH", ""), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, **added, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


async def _ended(process: Process) -> None:
    """SIGTERM, and SIGKILL for what outlives it; the server dies with its template."""
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(FAREWELL_S):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _cause(code: int) -> str:
    return f"exit {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"
