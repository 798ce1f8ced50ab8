"""`kind: litellm`, the HTTP process's side: a provider of litellm's, asked through the worker that holds it.

It never imports litellm. What the worker says (`gateway.upstream.engine`) becomes bytes as an OpenAI server sends them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from typing import Any, Protocol

import orjson

from gateway.config.schema import AnyUpstream, LiteLLMSpec
from gateway.errors import (
    NotSupported,
    UpstreamBroken,
    UpstreamTimeout,
    UpstreamUnavailable,
    WorkerBusy,
    WorkerError,
    WorkerTimeout,
)
from gateway.upstream import Ask, Reply
from gateway.upstream.keys import REFUSALS, Keys
from gateway.upstream.patience import retry_after

Json = Any

METHODS = {"/chat/completions": "send", "/embeddings": "embed"}  # of the worker, by endpoint
SLACK_S = 2.0  # the worker minds the upstream's deadlines itself; this is for a worker that does not answer
JSON = ("content-type", "application/json")
SSE = ("content-type", "text/event-stream; charset=utf-8")


class Caller(Protocol):
    """A worker's client (`gateway.worker.client.Client`)."""

    async def call(self, method: str, payload: Json, *, deadline_s: float) -> Json: ...

    def stream(self, method: str, payload: Json, *, deadline_s: float) -> AsyncGenerator[Json, None]: ...


def spec(upstreams: Iterable[AnyUpstream]) -> Json | None:
    """What the litellm worker is started with, keys included; None where no upstream needs it."""
    ours = {one.name: _one(one) for one in upstreams if isinstance(one, LiteLLMSpec)}
    return {"upstreams": ours} if ours else None


def _one(upstream: LiteLLMSpec) -> Json:
    return {
        "model": upstream.model,
        "api_keys": [key.get_secret_value() if key else None for key in upstream.api_keys or (upstream.api_key,)],
        "base_url": upstream.base_url,
        "timeouts": upstream.timeouts.model_dump(),
    }


class LiteLLM:
    """A provider's model behind `worker`. Chat completions and embeddings; what else is asked raises NotSupported."""

    def __init__(self, spec: LiteLLMSpec, worker: Caller) -> None:
        self.name = spec.name
        self._worker = worker
        self._timeouts = spec.timeouts
        self._keys = Keys(len(spec.api_keys) or 1, time.monotonic)

    def __repr__(self) -> str:
        return f"LiteLLM({self.name!r})"

    @asynccontextmanager
    async def send(self, ask: Ask) -> AsyncIterator[Reply]:
        """Open a reply; leaving ends the provider's answer.

        Raises UpstreamUnreachable, UpstreamTimeout, UpstreamBroken, UpstreamUnavailable and NotSupported.
        """
        method = METHODS.get(ask.endpoint)
        if method is None:
            raise NotSupported(f"upstream {self.name} answers {' and '.join(METHODS)} only, not {ask.endpoint}")
        asked = {"upstream": self.name, "body": orjson.loads(ask.body)}
        tried: list[int] = []
        number = self._keys.take()
        while number is not None:
            payload = {**asked, "key": number}
            opened = self._streamed(payload) if ask.stream else self._called(method, payload)
            async with opened as reply, aclosing(reply.chunks):
                tried.append(number)
                if (number := self._other(reply, tried)) is None:
                    yield reply

    def _other(self, reply: Reply, tried: Sequence[int]) -> int | None:
        """The key to ask with instead, where this one was refused and there is another."""
        if reply.status not in REFUSALS:
            return None
        self._keys.refused(tried[-1], reply.status, retry_after(reply.header, time.time))
        return self._keys.take(tried)

    @asynccontextmanager
    async def _called(self, method: str, payload: Json) -> AsyncIterator[Reply]:
        with self._minded():
            head = await self._worker.call(method, payload, deadline_s=self._timeouts.first_byte_s + SLACK_S)
        yield _whole(head)

    @asynccontextmanager
    async def _streamed(self, payload: Json) -> AsyncIterator[Reply]:
        end = asyncio.get_running_loop().time() + self._timeouts.total_s
        patience = max(self._timeouts.first_byte_s, self._timeouts.idle_s) + SLACK_S
        async with aclosing(self._worker.stream("send", payload, deadline_s=patience)) as items:
            with self._minded():
                async with asyncio.timeout_at(end):
                    head = await anext(items)
            yield Reply(200, (SSE,), self._events(items, end)) if head["status"] == 200 else _whole(head)

    async def _events(self, items: AsyncGenerator[Json, None], end: float) -> AsyncGenerator[bytes, None]:
        with self._minded(begun=True):
            while (chunk := await self._next(items, end)) is not None:
                yield b"data: %b\n\n" % orjson.dumps(chunk)
        yield b"data: [DONE]\n\n"

    async def _next(self, items: AsyncGenerator[Json, None], end: float) -> Json | None:
        async with asyncio.timeout_at(end):
            return await anext(items, None)

    @contextmanager
    def _minded(self, *, begun: bool = False) -> Iterator[None]:
        """A worker in trouble is, to whoever asked, an upstream in trouble."""
        try:
            yield
        except (WorkerTimeout, TimeoutError):
            raise UpstreamTimeout(f"upstream {self.name}: did not answer in time") from None
        except WorkerError as error:
            if begun:
                raise UpstreamBroken(f"upstream {self.name}: its answer was cut off ({error.code})") from None
            what = "is busy" if isinstance(error, WorkerBusy) else "is not running"
            raise UpstreamUnavailable(f"upstream {self.name}: the litellm worker {what}") from None


def _whole(head: Json) -> Reply:
    headers = (JSON, ("retry-after", head["retry_after"])) if "retry_after" in head else (JSON,)
    return Reply(head["status"], headers, _once(orjson.dumps(head["body"])))


async def _once(body: bytes) -> AsyncGenerator[bytes, None]:
    yield body
