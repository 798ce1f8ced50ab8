"""Where clients come in: each exchange goes, whole, to the configuration that stands when it arrives."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.app import Desk, opened
from gateway.front.order import Order


@dataclass(slots=True)
class Standing:
    """One configuration, opened: its endpoints, keys, routes, upstreams and policies."""

    app: ASGIApp
    stack: AsyncExitStack
    patience_s: float
    under_way: int = 0
    leaving: bool = False
    empty: asyncio.Event = field(default_factory=asyncio.Event)


class Door:
    """An ASGI app. `prepare` a configuration, `commit` it: the ones after it get the new one, those before keep theirs.

    What nobody uses any longer is closed, and so is, after the drain time, what somebody still does.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._standing: dict[int, Standing] = {}
        self._current: Standing
        self.generation = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        standing = self._current
        standing.under_way += 1
        try:
            await standing.app(scope, receive, send)
        finally:
            standing.under_way -= 1
            if standing.leaving and not standing.under_way:
                standing.empty.set()

    async def prepare(self, order: Order) -> None:
        """Open what is ordered beside what stands. Raises `ConfigError` where that cannot be."""
        async with AsyncExitStack() as stack:
            app = await stack.enter_async_context(opened(order.config, order.wiring, self._desk))
            drain_s = order.config.gateway.server.drain_s
            self._standing[order.generation] = Standing(app, stack.pop_all(), drain_s)

    def commit(self, generation: int) -> int:
        """From now on `generation` stands; the number of the one before, 0 for none."""
        before, self.generation = self.generation, generation
        self._current = self._standing[generation]
        return before

    async def retire(self, generation: int) -> None:
        """Close a configuration as soon as no exchange is under way in it."""
        standing = self._standing[generation]
        standing.leaving = True
        if standing.under_way:
            try:
                async with asyncio.timeout(standing.patience_s):
                    await standing.empty.wait()
            except TimeoutError:
                pass
        await self._closed(generation)

    async def close(self) -> None:
        for generation in list(self._standing):
            await self._closed(generation)

    async def _closed(self, generation: int) -> None:
        if standing := self._standing.pop(generation, None):
            await standing.stack.aclose()
