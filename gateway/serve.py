"""`tidegate serve`: the supervisor. Starts workers, embedded models and HTTP processes, watches them, drains them.

It imports nothing heavy and touches no request: exchanges go from the HTTP processes straight to the workers.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gateway
from gateway.app import events_path
from gateway.config.schema import Config, EmbeddedSpec
from gateway.errors import ConfigError, Problem, TidegateError, WorkerError
from gateway.front import Order
from gateway.observe.log import Log, open_log
from gateway.policy.rails import guardrails_ai, nemo, pii
from gateway.upstream import litellm
from gateway.upstream.embedded import free_port, running
from gateway.worker.supervisor import Host, Supervisor

READY_S = 120.0
"""Seconds that workers and models may take to start on a busy machine; 10 are usual."""

BACKOFF_S = (0.0, 0.2, 1.0, 5.0)
"""Before the n-th restart in a row of an HTTP process."""

NEXT_PORTS = 50

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line decides over the configuration's head."""

    host: str | None = None
    port: int | None = None
    next_port: bool = False  # take the next free port where the wanted one is taken


def run(config: Config, options: Options, say: Say) -> int:
    """Serve until SIGTERM or SIGINT; `say` prints a line for the operator.

    Returns the exit code: 0, or 1 where something could not start.
    """
    try:
        with listening(config, options, say) as listener, runtime() as folder:
            return asyncio.run(_Gateway(config, listener, folder, say).run())
    except TidegateError as error:
        say(error.message)
        return 1


@contextmanager
def listening(config: Config, options: Options, say: Say) -> Iterator[socket.socket]:
    """The socket that clients reach. It stays open for as long as any HTTP process may come and go."""
    server = config.gateway.server
    host = options.host or server.host
    wanted = server.port if options.port is None else options.port
    ports = range(wanted, wanted + NEXT_PORTS) if options.next_port and wanted else [wanted]
    for port in ports:
        try:
            listener = socket.create_server((host, port), backlog=2048, reuse_port=False)
        except OSError as error:
            why = error.strerror or "no such address"
            continue
        if port != wanted:
            say(f"Port {wanted} is taken; using {port} instead.")
        with listener:
            listener.set_inheritable(True)
            yield listener
        return
    message = f"cannot listen on {host}:{wanted}: {why}; choose another with --port"
    raise ConfigError([Problem(str(config.file), 1, message)])


@contextmanager
def runtime() -> Iterator[Path]:
    """A folder for sockets that only this user can look into. Short: a socket's path has 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="tidegate-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def hosts(config: Config, folder: Path) -> list[Host]:
    """The workers that this configuration needs. Raises `ConfigError` for a guard spec that cannot be read."""
    policies = list(config.policies.values())
    specs: dict[str, tuple[str, Any]] = {
        "guardrails": ("gateway.policy.engines.guardrails_ai", guardrails_ai.spec(policies, config.folder)),
        "nemo": ("gateway.policy.engines.nemo", nemo.spec(policies, config.folder)),
        "pii": ("gateway.policy.engines.pii", pii.spec(policies, config.folder)),
        "litellm": ("gateway.upstream.engine", litellm.spec(config.gateway.upstreams)),
        "scorer": ("gateway.scoring.engine", _scorer(config)),
    }
    return [Host(name, engine, spec, folder / name) for name, (engine, spec) in specs.items() if spec is not None]


def _scorer(config: Config) -> Any:
    scoring = config.gateway.scoring
    return None if scoring is None else {"encoder": scoring.encoder}


@dataclass(slots=True)
class _Gateway:
    config: Config
    listener: socket.socket
    folder: Path
    say: Say
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    fronts: set[Process] = field(default_factory=set)

    async def run(self) -> int:
        self._on_signals()
        async with AsyncExitStack() as stack:
            log = stack.enter_context(open_log(events_path(self.config)))
            supervisor = Supervisor(hosts(self.config, self.folder), lambda *told: _report(log, *told))
            await stack.enter_async_context(supervisor)
            models = _Models(self.config)
            await stack.enter_async_context(models.started())
            group = await stack.enter_async_context(asyncio.TaskGroup())
            workers = self.config.gateway.server.workers
            keepers = [group.create_task(self._keep(models.urls)) for _ in range(workers)]
            code = await self._until_stopped(group, supervisor, models, log)
            await self._drained(keepers)
        return code

    def _on_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop.set)

    async def _until_stopped(self, group: asyncio.TaskGroup, supervisor: Supervisor, models: _Models, log: Log) -> int:
        """0 when told to stop; 1 when something that was configured cannot start at all."""
        stopped = group.create_task(self.stop.wait())
        ready = group.create_task(self._ready(supervisor, models))
        await asyncio.wait({stopped, ready}, return_when=asyncio.FIRST_COMPLETED)
        if ready.done() and (failure := ready.result()):
            self.say(failure)
            stopped.cancel()
            return 1
        if ready.done():
            self._announce(log)
        else:
            ready.cancel()
        await stopped
        return 0

    async def _ready(self, supervisor: Supervisor, models: _Models) -> str:
        """Wait for everything; what failed, in a line, or nothing."""
        try:
            await supervisor.ready(READY_S)
            await models.ready()
        except WorkerError as error:
            return error.message
        except TidegateError as error:
            return error.message
        return ""

    def _announce(self, log: Log) -> None:
        host, port = self.listener.getsockname()[:2]
        gateway_file = self.config.gateway
        log.emit(
            "server.started",
            version=gateway.__version__,
            host=host,
            port=port,
            workers=gateway_file.server.workers,
            upstreams=[u.name for u in gateway_file.upstreams],
            routes=[r.model for r in gateway_file.routes],
            policies={},
        )
        self.say(banner(self.config, host, port))

    # HTTP processes

    async def _keep(self, embedded: Mapping[str, str]) -> None:
        """Keep one HTTP process running until told to stop."""
        streak = 0
        while not self.stop.is_set():
            began = asyncio.get_running_loop().time()
            process = await self._front(embedded)
            self.fronts.add(process)
            await process.wait()
            self.fronts.discard(process)
            streak = 0 if asyncio.get_running_loop().time() - began > 30 else streak + 1
            if not self.stop.is_set():
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.stop.wait(), BACKOFF_S[min(streak, len(BACKOFF_S) - 1)])

    async def _front(self, embedded: Mapping[str, str]) -> Process:
        sockets = {host.name: str(host.socket) for host in hosts(self.config, self.folder)}
        order = Order(str(self.config.file), sockets, dict(embedded), self.listener.fileno())
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "gateway.front"),
            stdin=PIPE,
            pass_fds=[self.listener.fileno()],
            env={**os.environ, "PYTHONPATH": _path()},
            start_new_session=True,
        )
        assert process.stdin is not None  # noqa: S101 - it was asked for
        process.stdin.write(order.encoded())
        process.stdin.close()
        return process

    async def _drained(self, keepers: Sequence[asyncio.Task[None]]) -> None:
        """Have the HTTP processes finish what is under way; what outlives the drain time is killed."""
        self.stop.set()
        for process in self.fronts:
            with suppress(ProcessLookupError):
                process.terminate()
        _, late = await asyncio.wait(keepers, timeout=self.config.gateway.server.drain_s + 2)
        for process in self.fronts if late else ():
            with suppress(ProcessLookupError):
                process.kill()


class _Models:
    """The embedded models: where each answers, and whether it does yet."""

    def __init__(self, config: Config) -> None:
        self._specs = [spec for spec in config.gateway.upstreams if isinstance(spec, EmbeddedSpec)]
        self._ports = {spec.name: free_port() for spec in self._specs}
        self.urls = {name: f"http://127.0.0.1:{port}/v1" for name, port in self._ports.items()}
        self._tasks: list[asyncio.Task[None]] = []
        self._up = {spec.name: asyncio.Event() for spec in self._specs}

    @asynccontextmanager
    async def started(self) -> AsyncGenerator[None, None]:
        self._tasks = [asyncio.create_task(self._run(spec)) for spec in self._specs]
        try:
            yield
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, spec: EmbeddedSpec) -> None:
        async with running(spec, self._ports[spec.name]):
            self._up[spec.name].set()
            await asyncio.Event().wait()

    async def ready(self) -> None:
        """Wait until every model answers. Raises what kept one from starting."""
        for task, up in zip(self._tasks, self._up.values(), strict=True):
            waiting = asyncio.create_task(up.wait())
            await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            if task.done():
                task.result()


def banner(config: Config, host: str, port: int) -> str:
    """What an operator reads when all is up: the address, and a request to try."""
    url = f"http://{host}:{port}/v1"
    model = config.gateway.routes[0].model
    auth = " -H 'authorization: Bearer <key>'" if config.gateway.keys else ""
    message = '{"role": "user", "content": "Which city is the capital of France?"}'
    body = f'{{"model": "{model}", "messages": [{message}]}}'
    return (
        f"\nTidegate is ready at {url}\n\n"
        f"  curl {url}/chat/completions -H 'content-type: application/json'{auth} \\\n    -d '{body}'\n\n"
        f"Events: {events_path(config)}   Metrics: http://{host}:{port}/metrics   Stop: Ctrl-C\n"
    )


def _report(log: Log, name: str, event: str, fields: Mapping[str, Any]) -> None:
    log.emit(event, worker=name, **fields)


def _path() -> str:
    """Where this very package is found, first."""
    root = str(Path(gateway.__file__).parent.parent)
    return os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
