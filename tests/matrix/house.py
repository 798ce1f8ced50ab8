"""The gateway whole, in this process: its own composition root, with an upstream that says what a cell tells it to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import orjson
import yaml
from starlette.types import ASGIApp, Message

from gateway import app as root
from gateway.config.load import load
from gateway.upstream import Ask, Reply

Headers = Sequence[tuple[str, str]]
_PATIENT = {"failures": 100_000, "volume": 100_000}
_JSON = (("content-type", "application/json"),)
_SSE = (("content-type", "text/event-stream"),)


@dataclass(slots=True)
class Upstream:
    """Says `chunks`, one by one, and remembers what it was asked."""

    name: str
    chunks: Sequence[bytes] = ()
    headers: Headers = ()
    asks: list[Ask] = field(default_factory=list)

    @asynccontextmanager
    async def send(self, ask: Ask) -> AsyncIterator[Reply]:
        self.asks.append(ask)
        async with aclosing(self._said()) as chunks:
            yield Reply(200, (*(_SSE if ask.stream else _JSON), *self.headers), chunks)

    async def _said(self) -> AsyncGenerator[bytes, None]:
        for chunk in self.chunks:
            yield chunk


@dataclass(slots=True)
class Heard:
    """What a client got."""

    status: int = 0
    headers: Sequence[tuple[bytes, bytes]] = ()
    body: bytearray = field(default_factory=bytearray)

    @property
    def raw(self) -> bytes:
        return bytes(self.body)


@dataclass(slots=True)
class House:
    app: ASGIApp
    upstream: Upstream
    events: Path

    async def ask(
        self, path: str, body: Any, *, headers: Iterable[tuple[bytes, bytes]] = (), query: bytes = b""
    ) -> Heard:
        """POST `body` (bytes, or what is sent as JSON)."""
        raw = body if isinstance(body, bytes) else orjson.dumps(body)
        scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query,
            "root_path": "",
            "scheme": "http",
            "http_version": "1.1",
            "client": ("127.0.0.1", 50000),
            "server": ("127.0.0.1", 8080),
            "headers": [(b"host", b"127.0.0.1"), (b"content-type", b"application/json"), *headers],
        }
        heard, sent = Heard(), False

        async def receive() -> Message:
            nonlocal sent
            if sent:
                await asyncio.Event().wait()
            sent = True
            return {"type": "http.request", "body": raw, "more_body": False}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                heard.status, heard.headers = message["status"], list(message["headers"])
            else:
                heard.body += message.get("body", b"")

        await self.app(scope, receive, send)
        return heard

    def written(self) -> bytes:
        return self.events.read_bytes()


@asynccontextmanager
async def opened(folder: Path, policies: Mapping[str, Mapping[str, Any]]) -> AsyncIterator[House]:
    """A gateway with one model a policy, of the same name."""
    file = _configured(folder, policies)
    upstream = Upstream("up")

    @asynccontextmanager
    async def own(*_: object) -> AsyncIterator[Mapping[str, Upstream]]:
        yield {"up": upstream}

    with patch.object(root, "open_upstreams", own):
        async with root.opened(load(file, {}), root.Wiring()) as app:
            yield House(app, upstream, folder / "events.jsonl")


def _configured(folder: Path, policies: Mapping[str, Mapping[str, Any]]) -> Path:
    (folder / "policies").mkdir()
    for name, policy in policies.items():
        (folder / "policies" / f"{name}.yaml").write_text(yaml.safe_dump({"name": name, **policy}))
    settings = {
        "policies": "policies",
        "events": {"path": "events.jsonl"},
        "upstreams": [
            # Cells that answer with what is no answer must not have it ejected.
            {"name": "up", "kind": "openai", "base_url": "http://127.0.0.1:9/v1", "breaker": _PATIENT}
        ],
        "routes": [{"model": name, "upstreams": ["up"], "policy": name} for name in policies],
        "scoring": None,
    }
    file = folder / "gateway.yaml"
    file.write_text(yaml.safe_dump(settings))
    return file
