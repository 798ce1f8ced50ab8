"""The panel as an engine of the worker harness: follows the event log, tells `/ui` what is in it.

Spec: `{"events": path of the log, "state": the monitor's folder or null}`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.errors import WorkerFault
from gateway.observe.spool import Lines, Mark
from gateway.panel.drift import Map
from gateway.panel.view import View

LOOK_S = 0.5
BACK = 64 * 1024 * 1024  # bytes of the log that are read at the start

Json = Any


def prepare(spec: Json) -> None:
    """Nothing but the imports."""


@asynccontextmanager
async def open(spec: Json, prepared: object) -> AsyncIterator[Engine]:  # noqa: A001, ARG001 - the harness's words
    events = Path(spec["events"])
    engine = Engine(View(), Lines(events, _begun(events)), Map(Path(spec["state"])) if spec["state"] else None)
    task = asyncio.create_task(engine.run())
    try:
        yield engine
    finally:
        task.cancel()
        await asyncio.wait([task])
        engine.log.close()


@dataclass(slots=True, eq=False)
class Engine:
    view: View
    log: Lines
    map: Map | None

    async def run(self) -> None:
        """Follow, for ever."""
        while True:
            lines = self.log.read()
            for at in range(0, len(lines), 500):
                self.view.lines(lines[at : at + 500])
                await asyncio.sleep(0)
            await asyncio.sleep(0 if lines else LOOK_S)

    async def call(self, method: str, payload: Json) -> Json:
        """`look` takes `{"after": number, "span": "hour" | "day"}`, see `View.told`; `map` takes nothing.

        Raises `WorkerFault` for any other method.
        """
        match method:
            case "look":
                return self.view.told(int(payload["after"]), now=time.time(), span=str(payload["span"]))
            case "map":
                return await asyncio.to_thread(self.map.told) if self.map else None
        raise WorkerFault(f"panel: no method {method!r}")


def _begun(path: Path) -> Mark:
    """Where to begin: the log's end less what is read of it."""
    try:
        found = path.stat()
    except OSError:
        return Mark()
    return Mark(found.st_ino, max(0, found.st_size - BACK))
