"""The gateway as its configuration has it, in this process, before scripted upstreams on real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson
from support.scripted import Server, scripted
from support.serving import written
from support.speaking import speak

from gateway.app import Wiring, opened
from gateway.config.load import load

MESSAGE = {"role": "user", "content": "hello"}


@dataclass(slots=True)
class Road:
    """A gateway in this process: a client of it, its upstreams by name, the events it wrote."""

    client: httpx.AsyncClient
    servers: dict[str, Server]
    events: Path

    async def ask(self, model: str = "m", key: str = "", **more: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        body = {"model": model, "messages": [MESSAGE], **more}
        return await self.client.post("/v1/chat/completions", json=body, headers=headers)

    def said(self, event: str) -> list[dict[str, Any]]:
        lines = self.events.read_bytes().splitlines() if self.events.exists() else []
        return [found for found in map(orjson.loads, lines) if found["event"] == event]

    async def until(self, event: str, count: int = 1) -> list[dict[str, Any]]:
        """The events of that name, once there are so many."""
        async with asyncio.timeout(10):
            while len(self.said(event)) < count:  # noqa: ASYNC110 - written by another task, to a file
                await asyncio.sleep(0.005)
        return self.said(event)

    def asked(self) -> dict[str, int]:
        return {name: len(server.seen) for name, server in self.servers.items()}

    async def metrics(self) -> dict[str, float]:
        text = (await self.client.get("/metrics")).text
        pairs = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in pairs}


@asynccontextmanager
async def road(
    folder: Path,
    names: Sequence[str],
    route: dict[str, Any],
    settings: dict[str, Any] | None = None,
    policy: dict[str, Any] | None = None,
    **more: Any,
) -> AsyncIterator[Road]:
    """One route `m` with `route`'s settings; every upstream has `settings`; `more` stands in the file itself."""
    async with AsyncExitStack() as stack:
        servers = {name: await stack.enter_async_context(scripted(speak)) for name in names}
        upstreams = [
            {"name": name, "kind": "openai", "base_url": server.base_url, **(settings or {})}
            for name, server in servers.items()
        ]
        members = {} if "split" in route else {"upstreams": list(names)}
        said = {"upstreams": upstreams, "routes": [{"model": "m", **members, **route}], "scoring": None, **more}
        config = load(written(folder / "gateway", said, {"default": policy or {}}), {})
        app = await stack.enter_async_context(opened(config, Wiring()))
        transport = httpx.ASGITransport(app)
        client = await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://gateway"))
        yield Road(client, servers, folder / "gateway" / "events.jsonl")
