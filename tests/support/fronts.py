"""The gateway's HTTP face on a loopback port: real uvicorn, real endpoints, real connections to upstreams."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route

from gateway.config.schema import Key, OpenAISpec, RouteSpec, Timeouts
from gateway.config.traffic import MemberSpec
from gateway.http import endpoints
from gateway.http.auth import Keyring
from gateway.http.outlet import Protocol
from gateway.ledger import Ledger
from gateway.observe.cost import Prices
from gateway.observe.log import open_log
from gateway.observe.metrics import Metrics
from gateway.pipeline import Pipeline
from gateway.policy.policy import Policy
from gateway.routing import Routes, Target
from gateway.upstream.direct import Direct
from gateway.upstream.pool import open_pool

QUICK = Timeouts(connect_s=5.0, first_byte_s=1.0, idle_s=1.0, total_s=30.0)


@dataclass(slots=True)
class Front:
    """A gateway that listens, a client of it, and the events it wrote."""

    url: str
    client: httpx.AsyncClient
    events: Path
    metrics: Metrics
    server: uvicorn.Server
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    async def ask(self, body: Any, **more: Any) -> httpx.Response:
        """POST `body` (bytes, or what is sent as JSON) to `/v1/chat/completions`."""
        raw = body if isinstance(body, bytes) else orjson.dumps(body)
        headers = {"content-type": "application/json", **more.pop("headers", {})}
        return await self.client.post("/v1/chat/completions", content=raw, headers=headers, **more)

    def written(self, name: str = "exchange.completed") -> list[dict[str, Any]]:
        """The events of that name so far."""
        lines = self.events.read_bytes().splitlines()
        return [event for event in map(orjson.loads, lines) if event["event"] == name]

    async def record(self, count: int = 1) -> dict[str, Any]:
        """The newest outcome, once there are `count`; there are never more."""
        async with asyncio.timeout(10):
            while len(self.written()) < count:  # noqa: ASYNC110  written by another task, to a file
                await asyncio.sleep(0.005)
        records = self.written()
        assert len(records) == count
        return records[-1]


@asynccontextmanager
async def front(
    folder: Path,
    upstreams: Sequence[str | OpenAISpec],
    policies: Mapping[str, Policy],
    *,
    keys: Iterable[Key] = (),
    max_body: int = 1024 * 1024,
) -> AsyncIterator[Front]:
    """A gateway whose only model `m` is answered by `upstreams` (base URLs or specs), in order."""
    specs = [u if isinstance(u, OpenAISpec) else spec(u, f"up{n}") for n, u in enumerate(upstreams)]
    file = folder / "events.jsonl"
    async with open_pool() as pool:
        with open_log(str(file), strict=True) as log:
            targets = {s.name: Target(Direct(s, pool), s) for s in specs}
            routes = Routes([RouteSpec(model="m", upstreams=tuple(MemberSpec(name=name) for name in targets))], targets)
            metrics = Metrics()
            pipeline = Pipeline(routes, policies, Ledger(log, metrics, Prices({}, {}, {})), time.monotonic)
            app = _app(
                endpoints.Completions(pipeline, Keyring(tuple(keys)), max_body),
                endpoints.Models(["m"], Keyring(tuple(keys))),
            )
            async with _serving(app) as server:
                url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
                async with httpx.AsyncClient(base_url=url, timeout=20, trust_env=False) as client:
                    yield Front(url, client, file, metrics, server)


def spec(base_url: str, name: str = "up", **more: Any) -> OpenAISpec:
    return OpenAISpec(**{"name": name, "kind": "openai", "base_url": base_url, "timeouts": QUICK, **more})


def _app(completions: endpoints.Completions, models: endpoints.Models) -> Starlette:
    app = Starlette(routes=[Route("/v1/chat/completions", completions), Route("/v1/models", models)])
    app.router.default = endpoints.unknown
    app.router.redirect_slashes = False
    return app


@asynccontextmanager
async def _serving(app: Starlette) -> AsyncIterator[uvicorn.Server]:
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            port=0,
            http=Protocol,
            ws="none",
            lifespan="off",
            log_level="critical",
            log_config=None,
            timeout_graceful_shutdown=5,
        )
    )
    server.capture_signals = nullcontext  # type: ignore[method-assign, assignment]  # the test runner keeps its own
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110  uvicorn has no event for it
        await asyncio.sleep(0.005)
    try:
        yield server
    finally:
        server.should_exit = True
        await task
