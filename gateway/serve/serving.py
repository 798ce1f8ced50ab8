"""The life of a gateway: everything started, clients let in, files that changed read again, everything stopped."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gateway
from gateway.app import events_path
from gateway.config.load import Listen
from gateway.config.schema import Config
from gateway.errors import TidegateError
from gateway.observe.log import Log, open_log
from gateway.observe.stderr import quiet
from gateway.serve import exporting, watching
from gateway.serve.banner import banner
from gateway.serve.crew import Crew, addresses
from gateway.serve.folder import runtime
from gateway.serve.fronts import Fronts
from gateway.serve.listener import Options, Say, listening
from gateway.serve.needs import Worker, needs
from gateway.serve.reading import Reading
from gateway.serve.reload import Reloads, Standing
from gateway.serve.tally import Tally
from gateway.serve.watch import Watch

_LOG = logging.getLogger("tidegate.serve")


def run(file: Path, environ: Mapping[str, str], options: Options, say: Say) -> int:
    """Serve what `file` says until SIGTERM or SIGINT, reading it again whenever it changes, and at SIGHUP.

    `say` prints a line for the operator. Returns the exit code: 0, or 1 where something could not start or was not
    let finish. Raises `ConfigError` for what is wrong with the files.
    """
    quiet()
    with runtime() as folder:
        reading = Reading(file, environ, Listen(options.host, options.port), folder / "policies-1")
        config = reading.read()
        say = _aside if events_path(config) == "-" else say
        try:
            with listening(config, options, say) as listener, open_log(events_path(config)) as log:
                return asyncio.run(Serving(reading, config, listener, log, say).run())
        except TidegateError as error:
            say(reading.said(error.message))
        except OSError as error:
            say(f"cannot write events to {events_path(config)}: {error.strerror}")
        return 1


def _aside(line: str) -> None:
    """Say it on standard error: standard output is the event log."""
    with suppress(OSError):
        sys.stderr.write(f"{line}\n")


@dataclass(slots=True, eq=False)
class Serving:
    """One gateway. The first signal has it finish, a second one stop at once."""

    reading: Reading
    config: Config
    listener: socket.socket
    log: Log
    say: Say
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    hurry: asyncio.Event = field(default_factory=asyncio.Event)
    tally: Tally = field(default_factory=Tally)
    reason: str = ""
    terminal: bool = field(default_factory=lambda: os.isatty(0))
    announced: float | None = None
    renewing: asyncio.Task[None] | None = None
    watch: Watch = field(init=False)
    crew: Crew = field(init=False)
    fronts: Fronts = field(init=False)
    reloads: Reloads = field(init=False)
    watching: watching.Watching = field(init=False)
    exporting: exporting.Exporting = field(init=False)

    async def run(self) -> int:
        self._begin()
        self._on_signals()
        try:
            await self._until_stopped()
        finally:
            await self._ended()
        return 1 if self.hurry.is_set() else 0

    def _begin(self) -> None:
        assert self.reading.to is not None  # noqa: S101 - a gateway runs on copies
        self.watch = Watch(self.reading.file, self.reading.folder)
        self.crew = Crew(self.reading.to.parent, self._report)
        first = Standing(self.config, self.crew.take(needs(self.config)))
        self.fronts = Fronts(self.listener, first.order(1), self.tally, self._report)
        self.reloads = Reloads(self.reading, self.crew, self.fronts, self.tally, self.log, self.say, {1: first})
        self.watching = watching.Watching(self.log, self.tally)
        self.exporting = exporting.Exporting(self.log, self.tally)
        self.fronts.released = self.reloads.release
        self.fronts.start(self.config.gateway.server.workers)

    async def _until_stopped(self) -> None:
        """Until told to stop. Raises `TidegateError` where something cannot start."""
        ready, stopped = asyncio.create_task(self._ready()), asyncio.create_task(self.stop.wait())
        reloading: asyncio.Task[None] | None = None
        try:
            await asyncio.wait({ready, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not stopped.done():
                await ready
                self._announce()
                await self._follow()
                reloading = asyncio.create_task(self._reloading())
                await stopped
        finally:
            tasks = [task for task in (ready, stopped, reloading) if task]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _ready(self) -> None:
        await asyncio.gather(self.crew.ready(self.reloads.current.members), self.fronts.ready())

    async def _reloading(self) -> None:
        async with aclosing(self.watch.changes()) as changes:
            async for asked in changes:
                try:
                    await self.reloads.reload(asked=asked)
                    await self._follow()
                except Exception as error:  # noqa: BLE001 - a fault of ours in reading must not end the serving
                    _LOG.error("could not reload", exc_info=error)

    async def _follow(self) -> None:
        """Ask the monitor and the exporters of what stands now."""
        current = self.reloads.current
        monitor = current.config.gateway.monitor
        found = addresses(current.members, Worker)
        await self.watching.follow(found.get(watching.NAME), monitor.webhook if monitor else None)
        await self.exporting.follow(found)

    def _announce(self) -> None:
        host, port = self.listener.getsockname()[:2]
        said = self.config.gateway
        self.announced = time.monotonic()
        self.log.emit(
            "server.started",
            version=gateway.__version__,
            host=host,
            port=port,
            workers=said.server.workers,
            upstreams=[u.name for u in said.upstreams],
            routes=[r.model for r in said.routes],
            policies=self.reloads.current.digests(),
        )
        self.say(banner(self.config, host, port))

    async def _ended(self) -> None:
        """The HTTP processes finish what is under way, then the workers go."""
        server = self.config.gateway.server
        if self.renewing:
            self.renewing.cancel()
        await self.fronts.drained(server.drain_s, self.hurry, server.leave_s if self.announced is not None else 0.0)
        await self.watching.close()
        await self.exporting.close()
        await self.crew.keep([])
        await self.reloads.close()
        if self.announced is not None:
            uptime_s = round(time.monotonic() - self.announced, 3)
            self.log.emit("server.stopped", reason=self.reason, uptime_s=uptime_s, cancelled=self.fronts.cancelled)

    # Signals

    def _on_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._told_to_stop, number.name)
        loop.add_signal_handler(signal.SIGHUP, self._hung_up)
        loop.add_signal_handler(signal.SIGUSR2, self._told_to_renew)

    def _told_to_stop(self, name: str) -> None:
        if self.stop.is_set():
            self.hurry.set()
            return
        self.reason = name
        self.stop.set()
        if self.announced is not None:
            self.say(f"Stopping: what is under way has {self.config.gateway.server.drain_s:g} s. Again stops at once.")

    def _hung_up(self) -> None:
        """SIGHUP asks for the files to be read again, unless it says that our terminal was closed."""
        if self.terminal and not os.isatty(0):
            self._told_to_stop("SIGHUP")
        else:
            self.watch.poke()

    def _told_to_renew(self) -> None:
        """SIGUSR2 has every HTTP process replaced, one after the other."""
        if self.announced is not None and (self.renewing is None or self.renewing.done()):
            self.renewing = asyncio.create_task(self._renewed())

    async def _renewed(self) -> None:
        try:
            await self.fronts.renew()
        except TidegateError as error:
            self.say(error.message)
        else:
            self.say("Every HTTP process is a new one.")

    def _report(self, name: str, event: str, fields: Mapping[str, Any]) -> None:
        if event == "worker.restarted":
            self.tally.restarts.add((name,))
        self.log.emit(event, worker=name, **fields)
