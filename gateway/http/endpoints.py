"""The endpoints: ASGI apps that read a request, hand it to the pipeline, and answer what needs no model."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import orjson
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.errors import MethodNotAllowed, NotFound, TidegateError, Unauthenticated
from gateway.exchange import Exchange, Timing
from gateway.http.auth import Keyring
from gateway.http.client import Asgi, Gone, body, while_there
from gateway.http.outlet import outlet
from gateway.http.translated import Translator, Wire
from gateway.pipeline.run import Call, Client, Ledger
from gateway.wire import envelope, trace
from gateway.wire.codec import CHAT, Codec


class Path(Protocol):
    """Who answers calls: the pipeline, or what stands in its place."""

    @property
    def ledger(self) -> Ledger: ...
    @property
    def clock(self) -> Callable[[], float]: ...
    async def run(self, call: Call, client: Client) -> None: ...


@dataclass(frozen=True, slots=True)
class Completions:
    """`POST` of whatever the pipeline answers by a `codec`, or what a `wire` translates to that and back.

    `traced`: spans of the exchanges are exported, so upstreams are told ours; else what clients say is passed on.
    """

    pipeline: Path
    keys: Keyring
    max_body: int
    wire: Wire | None = None
    codec: Codec = CHAT
    traced: bool = False

    @property
    def endpoint(self) -> str:
        return self.wire.endpoint if self.wire else self.codec.endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(_ident(), self.endpoint, Timing(self.pipeline.clock()))
        direct = outlet(scope)
        client, twin = Asgi(send, direct), Translator(self.wire) if self.wire else None
        try:
            _expect(scope, "POST")
            principal = self.keys.principal(scope["headers"])
            exchange.principal = principal.name
            raw = await body(scope, receive, self.max_body)
            raw = twin.take(raw) if twin else raw
        except TidegateError as error:
            await self._reject(exchange, error, client, twin)
            return
        except (Gone, asyncio.CancelledError) as left:
            self._left(exchange)
            if isinstance(left, Gone):
                return
            raise
        started, (of, parent, context) = exchange.timing.started, trace.taken(scope["headers"])
        if self.traced:
            context = trace.continued(exchange.id, of, context)
        said = self.endpoint, raw, principal, started, of, context, self.codec, twin, parent
        call = Call(exchange.id, *said, direct)
        await while_there(self.pipeline.run(call, client), receive, direct)

    async def _reject(self, exchange: Exchange, error: TidegateError, client: Client, twin: Translator | None) -> None:
        """A request that never came as far as the pipeline leaves its record all the same."""
        exchange.status, exchange.outcome = error.status, "rejected"
        exchange.error = error.code or error.kind
        content = envelope.body(error)
        content = twin.whole(error.status, content, exchange.id) if twin else content
        exchange.sent = len(content)
        exchange.timing.finished = self.pipeline.clock()
        self.pipeline.ledger.completed(exchange)
        spent = exchange.timing.finished - exchange.timing.started
        await client.respond(error.status, {**_envelope(error, "POST"), **_standing(exchange.id, spent)}, content)

    def _left(self, exchange: Exchange) -> None:
        exchange.outcome, exchange.error = "cancelled", "client_gone"
        exchange.timing.finished = self.pipeline.clock()
        self.pipeline.ledger.completed(exchange)


@dataclass(frozen=True, slots=True)
class Models:
    """`GET /v1/models`: names of routes and their aliases, as OpenAI lists models. `route` tells whose name one is."""

    names: Sequence[str]
    keys: Keyring
    clock: Callable[[], float] = time.monotonic
    route: Callable[[str], str] = str

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        began, client = self.clock(), Asgi(send)
        try:
            _expect(scope, "GET", "HEAD")
            principal = self.keys.principal(scope["headers"])
        except TidegateError as error:
            await _refuse(error, client, self.clock() - began)
            return
        data = [
            {"id": name, "object": "model", "created": 0, "owned_by": "tidegate"}
            for name in self.names
            if principal.may(self.route(name))
        ]
        listed = {"object": "list", "data": data}
        await _json(client, 200, listed, _standing(_ident(), self.clock() - began))


@dataclass(frozen=True, slots=True)
class Health:
    """`GET /healthz`: the process answers."""

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await _json(Asgi(send), 200, {"status": "ok"})


@dataclass(frozen=True, slots=True)
class Ready:
    """`GET /readyz`: everything the routes need answers too; 503 names what does not, or says that we are leaving."""

    waiting: Callable[[], Awaitable[Sequence[str]]]
    leaving: Callable[[], bool] = bool

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        if self.leaving():
            await _json(Asgi(send), 503, {"status": "stopping"})
            return
        missing = list(await self.waiting())
        if missing:
            await _json(Asgi(send), 503, {"status": "starting", "waiting_for": missing}, {"retry-after": "1"})
        else:
            await _json(Asgi(send), 200, {"status": "ready"})


@dataclass(frozen=True, slots=True)
class Metrics:
    """`GET /metrics`: Prometheus' text format."""

    render: Callable[[], bytes]

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        headers = {"content-type": "text/plain; version=0.0.4; charset=utf-8"}
        await Asgi(send).respond(200, headers, self.render())


@dataclass(frozen=True, slots=True)
class Paths:
    """Every endpoint by its path. Whatever has none is a 404 in the envelope, never passed through."""

    apps: Mapping[str, ASGIApp]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.apps.get(scope.get("path", ""), unknown)(scope, receive, send)


async def unknown(scope: Scope, _receive: Receive, send: Send) -> None:
    """Whatever has no endpoint is a 404 in the envelope, never passed through."""
    if scope["type"] == "http":
        await _refuse(NotFound("There is no such endpoint here."), Asgi(send), 0.0)


async def _refuse(error: TidegateError, client: Asgi, seconds: float) -> None:
    headers = {**_envelope(error, "GET, HEAD"), **_standing(_ident(), seconds)}
    await client.respond(error.status, headers, envelope.body(error))


async def _json(client: Asgi, status: int, value: object, headers: Mapping[str, str] | None = None) -> None:
    await client.respond(status, {"content-type": "application/json", **(headers or {})}, orjson.dumps(value))


def _envelope(error: TidegateError, allow: str) -> dict[str, str]:
    """What goes with the error's body. RFC 9110, 15.5.2 and 15.5.6."""
    headers = {"content-type": "application/json", **envelope.headers(error)}
    match error:
        case Unauthenticated():
            headers["www-authenticate"] = "Bearer"
        case MethodNotAllowed():
            headers["allow"] = allow
    return headers


def _standing(ident: str, seconds: float) -> dict[str, str]:
    """The headers of every answer, for those that no pipeline gave."""
    return {"x-request-id": ident, "x-tidegate-verdict": "allow", "x-tidegate-overhead-ms": f"{seconds * 1000:.2f}"}


def _ident() -> str:
    return f"req_{secrets.token_hex(16)}"


def _expect(scope: Scope, *methods: str) -> None:
    if scope["method"] not in methods:
        raise MethodNotAllowed(f"Use {methods[0]} here.")
