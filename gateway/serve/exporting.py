"""The supervisor's side of `export`: what its workers are told; what they say is logged and shown at `/metrics`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from gateway.app import events_path
from gateway.config.export import AnyExport, Wandb, named
from gateway.config.schema import Config
from gateway.errors import WorkerError
from gateway.observe import exposition
from gateway.observe.log import Log
from gateway.serve.tally import Tally
from gateway.telemetry import vendors
from gateway.worker.client import Client

ENGINES: Mapping[str, str] = MappingProxyType(
    {"export": "gateway.telemetry.engine", "wandb": "gateway.telemetry.wandb_engine"}
)
"""Workers by name: one posts, the other holds runs of Weights & Biases, whose client is a program of its own."""

ASK_S = 5.0  # between two questions for news
ANSWER_S = 30.0


def specs(config: Config) -> dict[str, dict[str, Any]]:
    """What each worker is told, by name; only those that have something to do."""
    posted = [export for export in config.gateway.export if not isinstance(export, Wandb)]
    upstreams = {spec.name: spec for spec in config.gateway.upstreams}
    told = {
        "export": [{**vendors.told(export, upstreams), **_placed(config, export)} for export in posted],
        "wandb": [_run(config, export) for export in config.gateway.export if isinstance(export, Wandb)],
    }
    return {name: {"destinations": found} for name, found in told.items() if found}


def _placed(config: Config, export: AnyExport) -> dict[str, str]:
    return {"events": events_path(config), "state": str((config.file.parent / export.state).resolve())}


def _run(config: Config, export: Wandb) -> dict[str, Any]:
    key = export.api_key.get_secret_value() if export.api_key else None
    told = export.model_dump(include={"project", "entity", "mode", "keep_s", "look_s", "window_s"})
    folder = str((config.file.parent / export.dir).resolve())
    behind = int(export.behind_mb * 1024 * 1024)
    own = {"name": named(export), "key": key, "dir": folder, "behind": behind}
    watched = {"config": str(config.file.resolve())} if config.gateway.monitor else {}
    return {**told, **_placed(config, export), **own, **watched}


@dataclass(slots=True, eq=False)
class Exporting:
    """Asks the workers of whichever configuration stands. `follow` may be called again; `close` ends it."""

    log: Log
    tally: Tally
    told: Mapping[str, str] = field(default_factory=dict)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    shown: dict[str, str] = field(default_factory=dict)

    async def follow(self, addresses: Mapping[str, str]) -> None:
        """From now on ask the workers at `addresses`, of which only those that export count."""
        told = {name: address for name, address in addresses.items() if name in ENGINES}
        if told == self.told:
            return
        await self.close()
        self.told = told
        self.tasks = [asyncio.create_task(self._ask(name, Path(address)), name=name) for name, address in told.items()]

    async def close(self) -> None:
        tasks, self.tasks, self.told = self.tasks, [], {}
        self.shown.clear()
        self.tally.exported = ""
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self, name: str, address: Path) -> None:
        async with Client(address, name=name) as client:
            while True:
                with suppress(WorkerError):  # it is being started again, and goes on where it was
                    news = await client.call("news", {}, deadline_s=ANSWER_S)
                    for event, fields in news["entries"]:
                        self.log.emit(event, **fields)
                    self.shown[name] = news["metrics"]
                    self.tally.exported = exposition.summed(self.shown.values())
                await asyncio.sleep(ASK_S)
