"""The path of an exchange without sockets: a pipeline, an upstream that says what it is told, a client that listens."""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from support.answers import DONE, event

from gateway.config.schema import OpenAISpec, RouteSpec
from gateway.config.traffic import MemberSpec
from gateway.errors import UpstreamError
from gateway.exchange import Exchange, Usage
from gateway.pipeline import Pipeline
from gateway.pipeline.run import Answer, Call, Principal
from gateway.policy.policy import Policy
from gateway.routing import Routes, Target
from gateway.upstream import Ask, Reply
from gateway.wire import sse
from gateway.wire.codec import CHAT, Codec

ASK = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
SSE = ("content-type", "text/event-stream")
JSON = ("content-type", "application/json")


@dataclass(slots=True)
class Canned:
    """An upstream that answers with `chunks`; one that is an error is raised in its place. `asks` is what it saw."""

    chunks: Sequence[bytes | UpstreamError]
    headers: tuple[tuple[str, str], ...] = (SSE,)
    status: int = 200
    name: str = "up"
    error: UpstreamError | None = None  # instead of a reply
    asks: list[Ask] = field(default_factory=list)
    open: int = 0

    @asynccontextmanager
    async def send(self, ask: Ask) -> AsyncIterator[Reply]:
        self.asks.append(ask)
        if self.error:
            raise self.error
        chunks = self._said()
        async with aclosing(chunks):
            yield Reply(self.status, self.headers, chunks)

    async def _said(self) -> AsyncGenerator[bytes, None]:
        self.open += 1
        try:
            for chunk in self.chunks:
                if isinstance(chunk, UpstreamError):
                    raise chunk
                yield chunk
        finally:
            self.open -= 1


@dataclass(slots=True)
class Heard:
    """What a client got, and how many records there were before each piece of it."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    pieces: list[bytes] = field(default_factory=list)
    ended: bool = False
    records: list[Exchange] = field(default_factory=list)
    before: list[int] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    begun: int = 0

    # as the client

    async def respond(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        assert not self.pieces
        self.status, self.headers, self.ended = status, dict(headers), True
        self._got(body)

    async def write(self, chunk: bytes, headers: Mapping[str, str]) -> None:
        assert not self.ended
        if not self.pieces:
            self.status, self.headers = 200, dict(headers)
        self._got(chunk)

    async def end(self) -> None:
        assert not self.ended
        self.ended = True

    def _got(self, piece: bytes) -> None:
        self.pieces.append(piece)
        self.before.append(len(self.records))

    # as the ledger

    def started(self, exchange: Exchange) -> None:
        assert exchange.policy
        self.begun += 1

    def answered(self, _exchange: Exchange, _target: Target, answer: Answer) -> None:
        self.answers.append(answer)

    def completed(self, exchange: Exchange) -> None:
        self.records.append(copy.deepcopy(exchange))

    def quote(self, model: str, target: Target, usage: Usage) -> float:
        return (usage.input + usage.output) / 1_000_000  # a dollar for a million

    # what it comes to

    @property
    def raw(self) -> bytes:
        return b"".join(self.pieces)

    @property
    def record(self) -> Exchange:
        """The only record, made before the last bytes left."""
        assert len(self.records) == 1
        assert not self.before or self.before[-1] == 1
        return self.records[0]

    def json(self) -> Any:
        return orjson.loads(self.raw)

    def chunks(self) -> list[dict[str, Any]]:
        """The JSON of a streamed answer's events."""
        decoder = sse.Decoder()
        events = [*decoder.feed(self.raw), *decoder.finish()]
        return [orjson.loads(e.data) for e in events if e.data not in (b"", sse.DONE)]

    def texts(self) -> dict[tuple[Any, ...], str]:
        """A streamed answer's texts as a client puts them together, by choice and place."""
        out: dict[tuple[Any, ...], str] = {}
        for chunk in self.chunks():
            for choice in chunk["choices"]:
                for place, text in _strings(choice["delta"]):
                    out[choice["index"], *place] = out.get((choice["index"], *place), "") + text
        return out


def _strings(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[tuple[Any, ...], str]]:
    match value:
        case str():
            return [(place, value)] if place[-1] not in ("role", "type", "id") else []
        case dict():
            return [found for key, item in value.items() for found in _strings(item, (*place, key))]
        case list():
            return [found for item in value for found in _strings(item, (*place, item.get("index", 0)))]
        case _:
            return []


def pipeline(policies: Policy, upstreams: Sequence[Canned], heard: Heard, **more: Any) -> Pipeline:
    specs = [
        OpenAISpec(**{"name": up.name, "kind": "openai", "base_url": "http://127.0.0.1/v1", **more}) for up in upstreams
    ]
    targets = {spec.name: Target(up, spec) for up, spec in zip(upstreams, specs, strict=True)}
    routes = Routes(
        [RouteSpec(model="m", upstreams=tuple(MemberSpec(name=name) for name in targets), policy=policies.name)],
        targets,
    )
    return Pipeline(routes, {policies.name: policies}, heard, time.monotonic)


def call(body: Any, codec: Codec = CHAT) -> Call:
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    return Call("req_1", codec.endpoint, raw, Principal(), time.monotonic(), codec=codec)


async def walked(policies: Policy, *upstreams: Canned, body: Any = None, codec: Codec = CHAT, **more: Any) -> Heard:
    """What a client hears of one exchange; `more` goes into the upstreams' specs."""
    heard = Heard()
    await pipeline(policies, upstreams, heard, **more).run(call(ASK if body is None else body, codec), heard)
    assert heard.ended
    assert all(up.open == 0 for up in upstreams)
    return heard


async def streamed(policies: Policy, chunks: Iterable[bytes | UpstreamError], **more: Any) -> Heard:
    return await walked(policies, Canned(list(chunks)), body={**ASK, "stream": True}, **more)


async def unstreamed(policies: Policy, answer: Any, **more: Any) -> Heard:
    raw = answer if isinstance(answer, bytes) else orjson.dumps(answer)
    return await walked(policies, Canned([raw], (JSON,)), **more)


def run(heard: Any) -> Any:
    """The result of a coroutine, for property tests, which are not asynchronous."""
    return asyncio.run(heard)


def stream_of(*bodies: Any) -> list[bytes]:
    return [*map(event, bodies), DONE]
