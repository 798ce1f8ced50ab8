"""The endpoints: ASGI apps that read a request, hand it to the pipeline, and answer what needs no model."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import orjson
from starlette.types import Receive, Scope, Send

from gateway.config.schema import Key
from gateway.errors import MethodNotAllowed, NotFound, TidegateError
from gateway.exchange import Exchange, Timing
from gateway.http import auth
from gateway.http.client import Asgi, Gone, body, until_gone
from gateway.pipeline import Call, Pipeline, Principal
from gateway.wire import envelope

_TRACEPARENT = re.compile(rb"00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(frozen=True, slots=True)
class Completions:
    """`POST /v1/chat/completions`."""

    pipeline: Pipeline
    keys: Sequence[Key]
    max_body: int
    endpoint: str = "/chat/completions"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = self.pipeline.clock()
        ident, client = f"req_{secrets.token_hex(16)}", Asgi(send)
        principal = Principal()
        try:
            _expect(scope, "POST")
            principal = auth.principal(scope["headers"], self.keys)
            raw = await body(scope, receive, self.max_body)
        except TidegateError as error:
            await self._reject(ident, started, principal, error, client)
            return
        except Gone:
            self._left(ident, started, principal)
            return
        call = Call(ident, self.endpoint, raw, principal, started, _trace(scope), _context(scope))
        await _while_there(self.pipeline.run(call, client), receive)

    async def _reject(
        self, ident: str, started: float, principal: Principal, error: TidegateError, client: Asgi
    ) -> None:
        """A request that never became an exchange leaves its record all the same."""
        exchange = Exchange(ident, self.endpoint, Timing(started), principal=principal.name)
        exchange.status, exchange.outcome = error.status, "rejected"
        exchange.error = error.code or type(error).__name__
        exchange.timing.finished = self.pipeline.clock()
        self.pipeline.ledger.completed(exchange)
        await refuse(error, client, {"x-request-id": ident, "x-tidegate-verdict": "allow"})

    def _left(self, ident: str, started: float, principal: Principal) -> None:
        exchange = Exchange(ident, self.endpoint, Timing(started), principal=principal.name)
        exchange.outcome, exchange.error = "cancelled", "client_gone"
        exchange.timing.finished = self.pipeline.clock()
        self.pipeline.ledger.completed(exchange)


async def _while_there(work: Awaitable[None], receive: Receive) -> None:
    """Do `work` unless the client leaves; its leaving cancels the work and with it the upstream's."""
    task = asyncio.ensure_future(work)
    watch = asyncio.ensure_future(until_gone(receive, task))
    try:
        await task
    except asyncio.CancelledError:
        if not watch.done():  # the server is being stopped, not the client gone
            raise
    finally:
        watch.cancel()


@dataclass(frozen=True, slots=True)
class Models:
    """`GET /v1/models`: the routes, as OpenAI lists models."""

    names: Sequence[str]
    keys: Sequence[Key]

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        client = Asgi(send)
        try:
            _expect(scope, "GET", "HEAD")
            auth.principal(scope["headers"], self.keys)
        except TidegateError as error:
            await refuse(error, client)
            return
        data = [{"id": name, "object": "model", "created": 0, "owned_by": "tidegate"} for name in self.names]
        await _json(client, 200, {"object": "list", "data": data})


@dataclass(frozen=True, slots=True)
class Health:
    """`GET /healthz`: the process answers."""

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await _json(Asgi(send), 200, {"status": "ok"})


@dataclass(frozen=True, slots=True)
class Ready:
    """`GET /readyz`: everything the routes need answers too; 503 names what does not."""

    waiting: Callable[[], Awaitable[Sequence[str]]]

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
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


async def unknown(scope: Scope, _receive: Receive, send: Send) -> None:
    """Whatever has no endpoint is a 404 in the envelope, never passed through."""
    if scope["type"] == "http":
        await refuse(NotFound("There is no such endpoint here."), Asgi(send))


async def refuse(error: TidegateError, client: Asgi, headers: Mapping[str, str] | None = None) -> None:
    every = {"content-type": "application/json", **(headers or {}), **envelope.headers(error)}
    await client.respond(error.status, every, envelope.body(error))


async def _json(client: Asgi, status: int, value: object, headers: Mapping[str, str] | None = None) -> None:
    await client.respond(status, {"content-type": "application/json", **(headers or {})}, orjson.dumps(value))


def _expect(scope: Scope, *methods: str) -> None:
    if scope["method"] not in methods:
        raise MethodNotAllowed(f"Use {methods[0]} here, not {scope['method'][:16]}.")


def _trace(scope: Scope) -> str:
    match = _TRACEPARENT.fullmatch(_header(scope, b"traceparent"))
    return match[1].decode() if match else ""


def _context(scope: Scope) -> tuple[tuple[str, str], ...]:
    """What goes on to the upstream of the client's own headers: its trace, if it is one."""
    value = _header(scope, b"traceparent")
    return (("traceparent", value.decode()),) if _TRACEPARENT.fullmatch(value) else ()


def _header(scope: Scope, name: bytes) -> bytes:
    return next((v for k, v in scope["headers"] if k == name), b"")
