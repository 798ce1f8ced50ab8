"""The scorer of other machines as an engine of the worker harness: hands calls on to Ray Serve.

Spec: `{"url", "token", "watched": {"path", "words"} or null}`. What stands behind the URL is `gateway.serve.replicas`.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from gateway.errors import TidegateError, WorkerBusy, WorkerError, WorkerFault, WorkerLost
from gateway.observe.spool import Record, Spool
from gateway.upstream.pool import open_pool
from gateway.upstream.post import Post

LONGEST_S = 600.0  # callers have deadlines of their own

Json = Any


def prepare(spec: Json) -> None:
    """Nothing but the imports."""


@asynccontextmanager
async def open(spec: Json, prepared: object) -> AsyncIterator[Engine]:  # noqa: A001, ARG001 - the harness's words
    watched = spec["watched"]
    async with open_pool() as pool:
        engine = Engine(spec["url"], spec["token"], Post(pool))
        if watched:
            engine.spool, engine.words = Spool(Path(watched["path"])), watched["words"]
        yield engine


@dataclass(slots=True)
class Engine:
    """`call` as `gateway.scoring.engine.Engine` has it. Vectors for the monitor come back with the scores."""

    url: str
    token: str
    post: Post
    spool: Spool | None = None
    words: bool = False

    async def call(self, method: str, payload: Json) -> Json:
        """Raises `WorkerFault` for what the scorer refuses, `WorkerBusy`, `WorkerLost` where nobody answers."""
        if self.spool and method == "score" and isinstance(payload, dict):
            payload = {**payload, "watched": {"words": self.words}}
        said = await self._asked(orjson.dumps({"method": method, "payload": payload}))
        if self.spool and isinstance(said, dict):
            self.spool.put(_records(said.pop("records", ())))
        return said

    async def _asked(self, body: bytes) -> Json:
        headers = {"authorization": f"Bearer {self.token}"} if self.token else {}
        try:
            status, content = await self.post.post(self.url, body, headers, deadline_s=LONGEST_S)
        except TidegateError as error:
            raise WorkerLost(f"scorer: {error.message}") from None
        if status == 200:
            return orjson.loads(content)
        raise _refused(status, content)


def _refused(status: int, content: bytes) -> WorkerError:
    match status:
        case 422:
            return WorkerFault(content.decode("utf-8", "replace")[:200])
        case 429 | 503:
            return WorkerBusy("scorer: its replicas have more to do than they take")
        case 401:
            return WorkerLost("scorer: its replicas do not know our token")
    return WorkerLost(f"scorer: its replicas answered with status {status}")


def _records(told: Sequence[Json]) -> list[Record]:
    return [Record(head, base64.b64decode(body)) for head, body in told]
