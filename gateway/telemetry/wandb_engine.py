"""Runs of Weights & Biases as an engine of the worker harness: a row for every window, drift reports as artifacts.

Spec: `{"destinations": [...]}`, each `{"name", "events", "state", "project", "dir", "window_s", …}`. In offline mode
nothing leaves the machine until somebody runs `wandb sync`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from gateway.errors import WorkerFault
from gateway.observe.spool import Mark
from gateway.telemetry.destination import Destination
from gateway.telemetry.place import Place, locked
from gateway.telemetry.reading import Reading
from gateway.telemetry.standing import Standing, text
from gateway.telemetry.windows import Window, Windows

Json = Any

REPORT_S = 120.0  # that a drift report may take
AGAIN_S = 5.0  # after a fault of the disk, or of the client

_LOG = logging.getLogger("tidegate.wandb")


def prepare(spec: Json) -> object:  # noqa: ARG001 - the harness's words
    """Import the client, once. It sends nothing of its own."""
    os.environ.update({"WANDB_ERROR_REPORTING": "false", "WANDB_SILENT": "true", "WANDB_DISABLE_GIT": "true"})
    import wandb  # noqa: PLC0415 - an extra

    return wandb


@asynccontextmanager
async def open(spec: Json, prepared: Any) -> AsyncIterator[Engine]:  # noqa: A001 - the harness's words
    with ThreadPoolExecutor(len(spec["destinations"]), "wandb") as executor:
        engine = Engine(executor, [Run(prepared, told) for told in spec["destinations"]])
        tasks = [asyncio.create_task(engine.follow(run)) for run in engine.runs]
        try:
            yield engine
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            on = asyncio.get_running_loop().run_in_executor
            for run in engine.runs:
                await on(executor, run.close)
            await on(executor, prepared.teardown)  # its program writes what it was told, and ends


@dataclass(slots=True, eq=False)
class Engine:
    executor: Executor
    runs: list[Run]

    async def follow(self, run: Run) -> None:
        """For ever, from when the state's folder is ours."""
        on = asyncio.get_running_loop().run_in_executor
        while True:
            try:
                more = run.begun() and await on(self.executor, run.step)
            except Exception as error:  # noqa: BLE001 - the client's own kinds, of which there are many
                _LOG.error("cannot log a row: %s", type(error).__name__)
                run.standing.failed(type(error).__name__, time.time())
                await asyncio.sleep(AGAIN_S)
                continue
            if not more:
                await asyncio.sleep(run.to.look_s)

    async def call(self, method: str, payload: Json) -> Json:  # noqa: ARG002 - the harness's words
        """`news`, as of `gateway.telemetry.engine`. Raises `WorkerFault` for any other method."""
        if method != "news":
            raise WorkerFault(f"wandb: no method {method!r}")
        standings = [run.standing for run in self.runs]
        return {"entries": [told for one in standings for told in one.news()], "metrics": text(standings)}


@dataclass(slots=True)
class Identity:
    """Which run goes on after a restart: its id, the window it began with, the last one it was told."""

    file: Path
    id: str = field(default_factory=lambda: secrets.token_hex(4))
    first: int = 0
    last: int = 0

    @classmethod
    def read(cls, file: Path) -> Identity:
        with suppress(OSError, ValueError, TypeError):
            return cls(file, **orjson.loads(file.read_bytes()))
        return cls(file)

    def told(self, number: int) -> None:
        self.first, self.last = self.first or number, number
        new = self.file.with_name(f"{self.file.name}.new")
        new.write_bytes(orjson.dumps({"id": self.id, "first": self.first, "last": self.last}))
        new.replace(self.file)


class Run:
    """One run, for one thread. `step` reads the next piece of the log and logs the windows that are over."""

    def __init__(self, client: Any, told: Mapping[str, Any]) -> None:
        own = {key: told[key] for key in ("name", "events", "state", "keep_s", "look_s", "behind")}
        self.to, self.standing = Destination.read({**own, "kind": "wandb"}), Standing(told["name"])
        self._client, self._told = client, told
        self._run: Any = None
        self._lock: BinaryIO | None = None
        self._identity = Identity(Path())
        self._windows = Windows(1.0)
        self._reading: Reading | None = None
        self._safe: Mark | None = None

    def begun(self) -> bool:
        """Whether it is our turn: one process at a time follows."""
        if self._reading is None:
            self._lock = locked(self.to.state / f"{self.to.name}.lock")
            if self._lock is None:
                return False
            self._identity = Identity.read(self.to.state / f"{self.to.name}.run")
            self._windows = Windows(self._told["window_s"], self._identity.last)
            self._reading = Reading(self.to, Place.read(self.to.state / f"{self.to.name}.json"), self.standing)
        return True

    def step(self) -> bool:
        """Whether there may be more. A window that is open is read again after a restart, from where it began."""
        assert self._reading is not None  # noqa: S101 - `begun` was asked
        before = self._reading.mark
        events = self._reading.events(time.time())
        over = [window for event in events or () for window in self._taken(event)]
        over += self._windows.over(time.time_ns())
        for window in over:
            self._log(window)
        if over or self._safe is None:
            self._safe = before if self._windows.open else self._reading.mark
        self._reading.keep(self._safe)
        return events is not None

    def close(self) -> None:
        if self._run is not None:
            self._run.finish()
        if self._reading:
            self._reading.close()
        if self._lock:
            self._lock.close()

    def _taken(self, event: Mapping[str, Any]) -> list[Window]:
        try:
            over = self._windows.take(event)
            if event["event"] == "drift.detected" and not self._windows.told(event):
                self._report(event)
        except (KeyError, TypeError, ValueError):
            self.standing.drop("events", "unread", 1)
            return []
        return over

    def _log(self, window: Window) -> None:
        """Steps are windows since the run began, so that a run which goes on elsewhere goes on behind."""
        first = self._identity.first or window.number
        start = window.number * self._told["window_s"]
        self._opened().log({"window_start": start, **window.row()}, step=window.number - first)
        self._identity.told(window.number)
        self.standing.took("rows", 1, time.time())

    def _opened(self) -> Any:
        if self._run is None:
            told, wandb = self._told, self._client
            Path(told["dir"]).mkdir(parents=True, exist_ok=True, mode=0o700)
            if told.get("key"):
                os.environ["WANDB_API_KEY"] = told["key"]
            quiet = {"console": "off", "silent": True, "x_disable_stats": True, "x_disable_meta": True}
            settings = wandb.Settings(**quiet, disable_git=True, save_code=False, x_save_requirements=False)
            self._run = wandb.init(
                project=told["project"],
                entity=told.get("entity"),
                id=self._identity.id,
                name=told["name"],
                resume="allow",
                mode=told["mode"],
                dir=told["dir"],
                settings=settings,
            )
        return self._run

    def _report(self, event: Mapping[str, Any]) -> None:
        """The event, and the page that `tidegate drift report` makes of what the monitor has, where it can."""
        artifact = self._client.Artifact(f"drift-{event['stream']}", type="drift-report")
        with artifact.new_file("drift.json", mode="wb") as file:
            file.write(orjson.dumps(event))
        page = Path(self._told["dir"]) / f"{self.to.name}-drift.html"
        if self._told.get("config") and _made(self._told["config"], page):
            artifact.add_file(str(page), "drift.html")
        self._opened().log_artifact(artifact)
        self.standing.took("artifacts", 1, time.time())


def _made(config: str, page: Path) -> bool:
    page.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    page.unlink(missing_ok=True)
    command = [sys.executable, "-m", "gateway", "drift", "report", "--config", config, "--out", str(page)]
    with suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(command, check=False, capture_output=True, stdin=subprocess.DEVNULL, timeout=REPORT_S)  # noqa: S603 - our own command
    return page.exists()
