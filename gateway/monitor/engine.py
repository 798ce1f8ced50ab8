"""The monitor as an engine of the worker harness: follows the event log and the scorer's spool, tells what it found.

Spec: `watch` (see `gateway.monitor.spec`) to follow; left out, it only answers what it is asked.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import time
from collections.abc import AsyncIterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from gateway.errors import WorkerFault
from gateway.monitor import desk, gauges, store
from gateway.monitor.memory import recalled, remembered
from gateway.monitor.spec import Spec
from gateway.monitor.watch import Watch
from gateway.observe.spool import Lines, Mark, Records

Json = Any

SAVE_S = 30.0
"""Between two savings where nothing was found: what is read again after a crash."""

_LOG = logging.getLogger("tidegate.monitor")


def prepare(spec: Json) -> None:
    """Nothing but the imports."""


@asynccontextmanager
async def open(spec: Json, prepared: object) -> AsyncIterator[Engine]:  # noqa: A001, ARG001 - the harness's words
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1, "monitor") as executor:
        engine = Engine(executor, Spec.read(spec["watch"]) if "watch" in spec else None)
        task = asyncio.create_task(engine.run())
        try:
            yield engine
        finally:
            task.cancel()
            await asyncio.wait([task])
            await loop.run_in_executor(executor, engine.part)


@dataclass(slots=True, eq=False)
class Following:
    """A `Watch`, what it reads, and where it is kept. For one thread."""

    watch: Watch
    lines: Lines
    records: Records
    saved_at: float = field(default_factory=time.monotonic)

    def step(self, now: float) -> bool:
        """Read what came, judge, save if there is news; whether there is more to read."""
        watch, number = self.watch, self.watch.outbox.number
        watch.load_reference()
        lines, records = self.lines.read(), self.records.read()
        watch.lines(lines)
        watch.records(records)
        if watch.learned:
            watch.save_reference()
        watch.look(now)
        if watch.outbox.number != number or time.monotonic() - self.saved_at > SAVE_S:
            self.save()
        return bool(lines or records)

    def save(self) -> None:
        told, arrays = remembered(self.watch)
        marks = {name: [mark.inode, mark.offset] for name, mark in self.marks().items()}
        store.save(self.watch.spec.state / "state.npz", {**told, "marks": marks}, arrays)
        self.saved_at = time.monotonic()

    def marks(self) -> dict[str, Mark]:
        return {"events": self.lines.mark, "spool": self.records.mark}

    def close(self) -> None:
        self.lines.close()
        self.records.close()


def followed(spec: Spec) -> Following:
    """Go on where the state's folder says; from the beginning of both files where it says nothing."""
    watch, marks = Watch(spec), {"events": (0, 0), "spool": (0, 0)}
    watch.load_reference()
    if (found := store.load(spec.state / "state.npz")) is not None:
        recalled(watch, *found)
        marks = found[0]["marks"]
    read = {name: Mark(*mark) for name, mark in marks.items()}
    return Following(watch, Lines(spec.events, read["events"]), Records(spec.spool, read["spool"]))


@dataclass(slots=True, eq=False)
class Engine:
    """`following` is None until the state's folder is ours: one monitor at a time writes to it."""

    executor: Executor
    spec: Spec | None
    following: Following | None = None
    lock: BinaryIO | None = None

    async def run(self) -> None:
        """Follow, for ever."""
        while self.spec and not await self._on_thread(self._begun, self.spec):  # noqa: ASYNC110 - a file's lock
            await asyncio.sleep(1.0)
        while self.following:
            try:
                more = await self._on_thread(self.following.step, time.time())
            except OSError as error:  # a full disk: what was found is found again
                _LOG.error("could not save: %s", error.strerror)
                more = False
            await asyncio.sleep(0 if more else self.following.watch.spec.look_s)

    def part(self) -> None:
        """Save, and leave the folder to others."""
        if self.following:
            with suppress(OSError):
                self.following.save()
            self.following.close()
        if self.lock:
            self.lock.close()

    def _begun(self, spec: Spec) -> bool:
        if self.lock is None:
            spec.state.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.lock = (spec.state / "lock").open("wb")
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        self.following = followed(spec)
        return True

    async def call(self, method: str, payload: Json) -> Json:
        """`news` takes `{"logged": n, "posted": n}`, the numbers up to which events were taken, and gives

        `{"entries": [[number, event, fields]], "number", "logged", "posted", "metrics": text}`. An event is in it once
        it is saved, and until both have been taken.

        `reference`, `check`: see `gateway.monitor.desk`. Raises `WorkerFault` for any other method or payload.
        """
        match method:
            case "news" if self.spec:
                return await self._on_thread(self._news, payload)
            case "reference" | "check":
                try:
                    return await self._on_thread(desk.METHODS[method], payload)
                except (KeyError, TypeError, ValueError, OSError) as error:
                    raise WorkerFault(f"monitor: {error}") from None
        raise WorkerFault(f"monitor: no method {method!r}")

    def _news(self, payload: Json) -> Json:
        if self.following is None:
            return {"entries": [], "number": 0, "logged": 0, "posted": 0, "metrics": ""}
        watch = self.following.watch
        outbox = watch.outbox
        if outbox.done(logged=payload.get("logged", 0), posted=payload.get("posted", 0)):
            self.following.save()
        told = {"number": outbox.number, "logged": outbox.logged, "posted": outbox.posted}
        return {"entries": outbox.entries, **told, "metrics": gauges.text(watch)}

    async def _on_thread(self, do: Any, *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self.executor, do, *args)
