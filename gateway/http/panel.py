"""`/ui`: a page for the operator. Its files are anybody's; what it shows wants the operator's key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qs

import orjson
from starlette.types import Receive, Scope, Send

from gateway.errors import MethodNotAllowed, RequestError, TidegateError
from gateway.http.auth import Keyring
from gateway.http.client import Asgi
from gateway.wire import envelope
from gateway.worker.client import Client

FILES = {
    "index.html": "text/html; charset=utf-8",
    "panel.css": "text/css; charset=utf-8",
    "panel.js": "text/javascript; charset=utf-8",
    "uplot.js": "text/javascript; charset=utf-8",
    "uplot.css": "text/css; charset=utf-8",
    "uplot.LICENSE": "text/plain; charset=utf-8",
}
ANSWER_S = 3.0

Asked = dict[str, list[str]]

# Nothing is loaded from elsewhere, nothing inline is run, and nobody frames it.
_SAFE = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    " img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}


@dataclass(frozen=True, slots=True)
class Page:
    """`GET /ui/…`: a file of the page."""

    name: str
    content: bytes = field(init=False)

    def __post_init__(self) -> None:
        content = (files("gateway.panel") / "page" / self.name).read_bytes()
        object.__setattr__(self, "content", content)

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        client = Asgi(send)
        try:
            _expect_get(scope)
        except TidegateError as error:
            await _refuse(error, client)
            return
        headers = {"content-type": FILES[self.name], "cache-control": "no-cache", **_SAFE}
        await client.respond(200, headers, self.content)


@dataclass(frozen=True, slots=True)
class Data:
    """`GET /ui/data/…`: what the panel's worker answers to `method`, as JSON, for whoever has the key."""

    worker: Client
    keys: Keyring
    method: str
    payload: Callable[[Asked], Any]

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        client = Asgi(send)
        try:
            _expect_get(scope)
            self.keys.principal(scope["headers"])
            payload = self.payload(parse_qs(scope["query_string"].decode("ascii", "replace")))
            found = await self.worker.call(self.method, payload, deadline_s=ANSWER_S)
        except TidegateError as error:
            await _refuse(error, client)
            return
        headers = {"content-type": "application/json", "cache-control": "no-store", **_SAFE}
        await client.respond(200, headers, orjson.dumps(found))


def look(worker: Client, keys: Keyring) -> Data:
    """`?after=NUMBER&span=hour|day`: see `gateway.panel.view.View.told`."""
    return Data(worker, keys, "look", _looked)


def drift_map(worker: Client, keys: Keyring) -> Data:
    """See `gateway.panel.drift.Map.told`; null without a monitor, or before it has a reference."""
    return Data(worker, keys, "map", lambda _asked: None)


def _looked(asked: Asked) -> dict[str, Any]:
    after, span = asked.get("after", ["0"])[0], asked.get("span", ["hour"])[0]
    if not (after.isdecimal() and after.isascii() and len(after) <= 15) or span not in {"hour", "day"}:
        raise RequestError("`after` is a number, `span` is `hour` or `day`.")
    return {"after": int(after), "span": span}


def _expect_get(scope: Scope) -> None:
    if scope["method"] not in {"GET", "HEAD"}:
        raise MethodNotAllowed("Use GET here.")


async def _refuse(error: TidegateError, client: Asgi) -> None:
    headers = {"content-type": "application/json", **envelope.headers(error), **_SAFE}
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    await client.respond(error.status, headers, envelope.body(error))
