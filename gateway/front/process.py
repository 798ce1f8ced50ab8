"""The life of an HTTP process: asks for its first order, serves, follows new orders, finishes what is under way."""

from __future__ import annotations

import asyncio
import gc
import math
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.app import Desk, desk
from gateway.config.schema import Server as ServerSpec
from gateway.front.connection import Connection
from gateway.front.door import Door
from gateway.front.guard import Guard
from gateway.front.order import Order
from gateway.front.peer import Answers, Declined, Gone, Json, Peer
from gateway.http.client import Asgi

FAREWELL_S = 2.0  # for exchanges that were cut off to leave their records
SCRAPE_S = 5.0
YOUNG = 10_000  # objects made and not given back between two looks for cycles; an exchange has a few hundred


async def serve(listener: socket.socket, control: socket.socket, accounts: int) -> None:
    """Serve on `listener` until SIGTERM, SIGINT or the supervisor's end, then finish what is under way in time."""
    front = Front(accounts)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, front.stop.set)
    front.supervisor = await Peer.over(control, front.answers())
    following = asyncio.create_task(front.supervisor.run())
    following.add_done_callback(lambda _: front.stop.set())
    try:
        with suppress(Gone):
            await front.serve(listener)
    finally:
        following.cancel()
        await asyncio.wait({following, *front.retiring})


@dataclass(slots=True, eq=False)
class Front:
    accounts: int
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    retiring: set[asyncio.Task[None]] = field(default_factory=set)
    supervisor: Peer = field(init=False)
    desk: Desk = field(init=False)
    door: Door = field(init=False)

    def answers(self) -> Answers:
        return {
            "prepare": self._prepare,
            "commit": self._commit,
            "drop": self._drop,
            "count": self._count,
            "leave": self._leave,
        }

    async def serve(self, listener: socket.socket) -> None:
        order = Order.read(await self.supervisor.ask("order"))
        with desk(order.config, Scraped(self.supervisor), self.accounts) as self.desk:
            self.door = Door(self.desk)
            await self.door.prepare(order)
            self.door.commit(order.generation)
            settled()
            spec = order.config.gateway.server
            guard = Guard(spec, asyncio.get_running_loop().time)
            self._count_guard(guard)
            cut = await self._served(_Server(settings(self.door, spec, guard), guard), listener)
            await self.door.close()
            with suppress(Gone, Declined, TimeoutError):
                await self.supervisor.ask("ended", {"cancelled": cut, "metrics": self._counted()}, timeout_s=FAREWELL_S)

    async def _served(self, server: _Server, listener: socket.socket) -> int:
        """Serve until told to stop; how many exchanges had to be cut off."""
        serving = asyncio.create_task(server.serve([listener]))
        stopped = asyncio.create_task(self.stop.wait())
        up = asyncio.create_task(server.up.wait())
        await asyncio.wait({serving, up, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if server.up.is_set():
            await self.supervisor.ask("serving", self.door.generation)
        guarding = asyncio.create_task(server.guarded())
        await asyncio.wait({serving, stopped}, return_when=asyncio.FIRST_COMPLETED)
        server.guard.leaving = server.should_exit = True
        await serving
        for task in (stopped, up, guarding):
            task.cancel()
        if server.cut:
            await asyncio.wait(server.cut, timeout=FAREWELL_S)
        return len(server.cut)

    def _count_guard(self, guard: Guard) -> None:
        gauge = self.desk.metrics.gauge
        gauge("tidegate_shed_total", "Requests refused because too many were under way.", lambda: guard.shed)
        gauge("tidegate_evicted_total", "Connections closed for want of room.", lambda: guard.evicted)
        gauge("tidegate_expired_total", "Connections closed in the middle of a request.", lambda: guard.expired)

    # What the supervisor asks for

    async def _prepare(self, order: Json) -> None:
        await self.door.prepare(Order.read(order))

    async def _commit(self, generation: int) -> None:
        before = self.door.commit(generation)
        task = asyncio.create_task(self._retired(before))
        self.retiring.add(task)
        task.add_done_callback(self.retiring.discard)

    async def _drop(self, generation: int) -> None:
        await self.door.retire(generation)

    async def _retired(self, generation: int) -> None:
        await self.door.retire(generation)
        with suppress(Gone, Declined, TimeoutError):
            await self.supervisor.ask("retired", generation)

    async def _leave(self, _: None) -> None:
        """The whole gateway goes."""
        self.desk.leaving.set()

    async def _count(self, _: None) -> str:
        return self._counted()

    def _counted(self) -> str:
        return self.desk.metrics.render().decode()


@dataclass(frozen=True, slots=True)
class Scraped:
    """`GET /metrics`: what all processes of this gateway have counted, together."""

    supervisor: Peer

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        headers = {"content-type": "text/plain; version=0.0.4; charset=utf-8"}
        try:
            text = await self.supervisor.ask("sum", timeout_s=SCRAPE_S)
        except (Gone, Declined, TimeoutError):
            await Asgi(send).respond(503, headers, b"")
        else:
            await Asgi(send).respond(200, headers, text.encode())


def settled() -> None:
    """What there is now will stay: the collector need not look at it again, nor at every young object so often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, 20, 20)


class _Server(uvicorn.Server):
    """uvicorn's, with the signals left to us: it would end the process by the signal it got, records unwritten."""

    def __init__(self, config: uvicorn.Config, guard: Guard) -> None:
        super().__init__(config)
        self.guard = guard
        self.up = asyncio.Event()
        self.cut: list[asyncio.Task[None]] = []  # what outlasted the drain

    async def guarded(self) -> None:
        state = self.server_state
        await self.guard.run(state.connections, state.tasks)  # type: ignore[arg-type]  # all connections are ours

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        self.cut = list(self.server_state.tasks)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def settings(app: ASGIApp, server: ServerSpec, guard: Guard) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="none",
        http=partial(Connection, guard),  # type: ignore[arg-type]  # called, as the class would be
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=math.ceil(server.drain_s),
        ssl_certfile=server.tls.certificate if server.tls else None,
        ssl_keyfile=server.tls.key if server.tls else None,
    )
