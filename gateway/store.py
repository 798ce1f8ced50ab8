"""A Redis or Valkey that gateways share: asked within a deadline, and left alone while it does not answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError, ResponseError

from gateway.config.schema import Store

Answer = TypeVar("Answer")
Say = Callable[[str, Mapping[str, Any]], None]
"""Told an event of the catalogue and its fields."""

CONNECTIONS = 64  # of one process; a command takes a connection for a fraction of a millisecond
FAILURES = 5  # in a row, after which it is left alone
PAUSE_S = 1.0  # for this long, and then one call tries
GREETING_S = 2.0  # for the first connection, before anybody waits for it


class Lost(Exception):
    """The store did not answer in time, or at all. Nothing is known of what became of the command."""


@dataclass(slots=True)
class Link:
    """The store as one process sees it."""

    client: Redis
    timeout_s: float
    prefix: str
    say: Say
    clock: Callable[[], float] = time.monotonic
    _failures: int = 0
    _until: float = 0.0

    async def call(self, command: Callable[[Redis], Awaitable[Answer]]) -> Answer:
        """What `command` answers. Raises `Lost`; at once where the store is known to be gone."""
        self._pass()
        try:
            async with asyncio.timeout(self.timeout_s):
                answer = await command(self.client)
        except NoScriptError:
            raise
        except (RedisError, OSError, TimeoutError) as error:
            self._failed(error)
            raise Lost from None
        self._answered()
        return answer

    def _pass(self) -> None:
        if self._failures < FAILURES:
            return
        now = self.clock()
        if now < self._until:
            raise Lost
        self._until = now + PAUSE_S

    def _failed(self, error: Exception) -> None:
        self._failures += 1
        self._until = self.clock() + PAUSE_S
        if self._failures == FAILURES:
            self.say("store.lost", {"reason": _reason(error)})

    def _answered(self) -> None:
        if self._failures >= FAILURES:
            self.say("store.found", {})
        self._failures = 0


@asynccontextmanager
async def linked(store: Store, say: Say) -> AsyncGenerator[Link, None]:
    """A link to the Redis that `store` names. It need not be there yet."""
    assert store.url is not None  # noqa: S101 - a configuration without it is refused
    timeout_s = store.timeout_ms / 1000
    pool = BlockingConnectionPool.from_url(
        store.url.get_secret_value(),
        max_connections=CONNECTIONS,
        timeout=timeout_s,
        socket_timeout=timeout_s,
        socket_connect_timeout=max(timeout_s, GREETING_S),
        retry=Retry(NoBackoff(), 0),
    )
    client = Redis(connection_pool=pool)
    try:
        with suppress(RedisError, OSError, TimeoutError):
            async with asyncio.timeout(GREETING_S):
                await client.ping()
        yield Link(client, timeout_s, store.prefix, say)
    finally:
        await client.aclose()
        await pool.aclose()


def _reason(error: Exception) -> str:
    """What the operator is told. Of what a server says only the first word: it may repeat what it was sent."""
    if isinstance(error, ResponseError):
        return f"{type(error).__name__}: {str(error).partition(' ')[0][:40]}"
    return type(error).__name__
