"""`tidegate serve` in the hands of an operator: started in its own process, signalled, killed, its files edited."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson
import yaml

PATIENCE_S = 120.0
_READY = re.compile(r"ready at (https?://\S+)/v1")


@dataclass(slots=True)
class Site:
    """A configuration in a folder: `gateway.yaml`, `policies/`, and `events.jsonl` once it is served."""

    folder: Path

    @property
    def file(self) -> Path:
        return self.folder / "gateway.yaml"

    @property
    def policies(self) -> Path:
        return self.folder / "policies"

    def configure(self, base_url: str, **more: Any) -> None:
        """Write the gateway's file: one upstream, the route `m`, no scorer; `more` replaces or adds sections."""
        settings = {
            "server": {"port": 0, "drain_s": 10},
            "policies": "policies",
            "events": {"path": "events.jsonl"},
            "upstreams": [{"name": "up", "kind": "openai", "base_url": base_url}],
            "routes": [{"model": "m", "upstreams": ["up"], "policy": "default"}],
            "scoring": None,
            **more,
        }
        self.file.write_text(yaml.safe_dump(settings))

    def policy(self, name: str = "default", **stages: Any) -> None:
        self.policies.mkdir(exist_ok=True)
        (self.policies / f"{name}.yaml").write_text(yaml.safe_dump({"name": name, **stages}))

    def events(self, name: str | None = None) -> list[dict[str, Any]]:
        file = self.folder / "events.jsonl"
        lines = file.read_bytes().splitlines() if file.exists() else []
        return [event for event in map(orjson.loads, lines) if name is None or event["event"] == name]

    async def saw(self, name: str, count: int = 1) -> dict[str, Any]:
        """Wait until `count` such events were written; the last of them."""
        found: list[dict[str, Any]] = []

        def there() -> bool:
            found[:] = self.events(name)
            return len(found) >= count

        await until(there)
        return found[count - 1]


@dataclass(slots=True)
class Operated:
    """A running `tidegate serve`, what it said so far, and a client of it once it is ready."""

    process: Process
    said: list[str] = field(default_factory=list)
    url: str = ""

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, trust_env=False, timeout=PATIENCE_S)

    async def ready(self) -> None:
        await until(lambda: bool(_READY.search("".join(self.said))) or self.process.returncode is not None)
        found = _READY.search("".join(self.said))
        assert found, "".join(self.said)
        self.url = found[1]

    async def heard(self, words: str) -> None:
        await until(lambda: words in "".join(self.said))

    async def ended(self, number: signal.Signals | None = None) -> int:
        """Its exit code, after a signal if one is to be sent."""
        if number:
            self.process.send_signal(number)
        async with asyncio.timeout(PATIENCE_S):
            return await self.process.wait()


@asynccontextmanager
async def operated(site: Site, *words: str, env: Mapping[str, str] | None = None) -> AsyncIterator[Operated]:
    """Start `tidegate serve` with more `words`; whatever is left of it at the end is killed."""
    command = [sys.executable, "-m", "gateway", "serve", "--config", str(site.file), *words]
    environ = {**os.environ, **(env or {})}
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=STDOUT, env=environ)
    gateway = Operated(process)
    hearing = asyncio.create_task(_hear(gateway))
    try:
        yield gateway
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        await hearing


async def _hear(gateway: Operated) -> None:
    assert gateway.process.stdout is not None
    while line := await gateway.process.stdout.readline():
        gateway.said.append(line.decode())


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110 - other processes' doings have no event to wait for
            await asyncio.sleep(0.02)


def family(pid: int) -> list[int]:
    """Every process that descends from `pid`, by what /proc says."""
    parents = {int(stat.parent.name): _parent(stat) for stat in Path("/proc").glob("[0-9]*/stat")}
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return sorted(found - {pid})


def _parent(stat: Path) -> int:
    """proc(5): the fourth field; the second is in brackets and may hold anything."""
    with suppress(OSError):
        return int(stat.read_text().rpartition(")")[2].split()[1])
    return 0


def alive(pid: int) -> bool:
    """Whether it runs: one that is dead and not yet waited for does not."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False
