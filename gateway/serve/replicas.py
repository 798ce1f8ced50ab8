"""The scorer as a deployment of Ray Serve, for more machines than one:

    serve run gateway.serve.replicas:app config=/etc/tidegate/gateway.yaml replicas=2 gpus=1

The configuration is the gateway's own, with its policies, on every machine of the cluster. A replica is the scorer's
engine as a gateway runs it; calls that come while it is busy share its next batch, by word pieces. Gateways point at
it by `scoring: {ray: "http://HEAD:8000"}`.
"""

from __future__ import annotations

import asyncio
import hmac
import importlib
import os
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import orjson
from ray import serve
from starlette.requests import Request
from starlette.responses import Response

from gateway.config.load import load
from gateway.errors import ConfigError, Problem, WorkerBusy, WorkerFault
from gateway.serve.needs import scorer

ENGINE = "gateway.scoring.engine"
AT_ONCE = 256
"""Calls that a replica has at once: what it scores together. Ray keeps the others waiting."""

_TAKES = frozenset({"score", "classify", "similar", "vectors"})


class Replica:
    """One scorer. `token` is what gateways have to send; empty, none."""

    def __init__(self, spec: Any, token: str) -> None:
        self._engine_of = importlib.import_module(ENGINE)
        self._spec, self._token = spec, token.encode()
        self._prepared = self._engine_of.prepare(spec)
        self._stack, self._opening = AsyncExitStack(), asyncio.Lock()
        self._engine: Any = None

    async def __call__(self, request: Request) -> Response:
        sent = request.headers.get("authorization", "").removeprefix("Bearer ").encode()
        if self._token and not hmac.compare_digest(sent, self._token):
            return Response(status_code=401)
        try:
            asked = orjson.loads(await request.body())
            method, payload = asked["method"], asked["payload"]
        except (ValueError, KeyError, TypeError):
            return Response("scorer: no call", 422)
        if method not in _TAKES:
            return Response("scorer: no such method", 422)
        try:
            said = await (await self._opened()).call(method, payload)
        except WorkerFault as fault:
            return Response(fault.message, 422)
        except WorkerBusy:
            return Response(status_code=503, headers={"retry-after": "1"})
        return Response(orjson.dumps(said), media_type="application/json")

    async def check_health(self) -> None:
        """As Ray asks; it starts another where this raises."""
        await self._opened()

    async def _opened(self) -> Any:
        async with self._opening:
            if self._engine is None:
                self._engine = await self._stack.enter_async_context(self._engine_of.open(self._spec, self._prepared))
        return self._engine


def app(args: dict[str, str]) -> serve.Application:
    """`config` is the gateway's file; `replicas` (1) and `gpus` of each (0) are numbers. Raises `ConfigError`."""
    config = load(Path(args["config"]), os.environ)
    spec = scorer(config)
    if spec is None or config.gateway.scoring is None:
        raise ConfigError([Problem(args["config"], 1, "scoring: null leaves nothing to deploy")])
    token = config.gateway.scoring.token
    deployed = serve.deployment(
        name="scorer",
        max_ongoing_requests=AT_ONCE,
        num_replicas=int(args.get("replicas", 1)),
        ray_actor_options={"num_gpus": float(args.get("gpus", 0))},
    )(Replica)
    bound: serve.Application = deployed.bind(spec, token.get_secret_value() if token else "")
    return bound
