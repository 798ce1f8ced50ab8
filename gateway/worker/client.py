"""What a process holds to call a worker: one connection, any number of calls on it, each with a deadline.

It connects when first used and again when its server was replaced. Calls that a dead server's engine had begun are
lost; those it had not begun are asked again of the next server, within their deadlines, and notice nothing.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
import socket
import time
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from functools import partial
from pathlib import Path
from typing import Any, Self, assert_never, cast

from gateway.errors import WorkerBusy, WorkerError, WorkerLost, WorkerTimeout
from gateway.worker.frames import (
    PING,
    Answered,
    Call,
    Cancel,
    Credit,
    Decoder,
    End,
    Fault,
    Garbled,
    Hello,
    Item,
    Result,
    Stream,
    answered,
    encode,
)

CREDIT = 64  # items of a stream that may be under way
LONGEST_S = 7 * 86400.0  # a deadline beyond this is none
RETRY_S = (0.01, 0.1)  # first and longest pause between two attempts to connect


class Client:
    """Calls the worker that listens at `path`; `name` is for messages. At most `limit` calls are open at once.

    Raises `WorkerTimeout` at a deadline, `WorkerLost` where the server died with the call in hand or none is running,
    `WorkerBusy` beyond `limit` or the worker's own queue, `WorkerFault` for what its engine raised, and any other error
    of `gateway.errors` that the engine raised as itself.
    """

    def __init__(self, path: Path, *, name: str, limit: int = 1024) -> None:
        self.name = name
        self._path = path
        self._limit = limit
        self._ids = itertools.count(secrets.randbits(52))  # no two clients' calls share a number
        self._link: Link | None = None
        self._dialling = asyncio.Lock()
        self._calls = 0
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closed = True
        if self._link is not None:
            await self._link.close()

    async def call(self, method: str, payload: Any, *, deadline_s: float) -> Any:
        """The engine's answer, within `deadline_s` seconds."""
        call = Call(next(self._ids), method, payload, time.monotonic() + _finite(deadline_s))
        self._admit()
        try:
            while True:
                link = self._link if self._link is not None and self._link.open else await self._linked(call.due)
                try:
                    return await self._answer(link, call)
                except _Severed:
                    call = call._replace(again=link.instance)
        finally:
            self._calls -= 1

    async def stream(self, method: str, payload: Any, *, deadline_s: float) -> AsyncGenerator[Any, None]:
        """The engine's items, each within `deadline_s` seconds. Closing this generator closes the engine's."""
        ask = Stream(next(self._ids), method, payload, _finite(deadline_s), CREDIT)
        self._admit()
        try:
            while True:
                link = await self._linked(time.monotonic() + ask.each)
                try:
                    async with aclosing(self._items(link, ask)) as items:
                        async for item in items:
                            yield item
                except _Severed:
                    ask = ask._replace(again=link.instance)
                else:
                    return
        finally:
            self._calls -= 1

    async def ready(self, timeout_s: float) -> None:
        """Wait until the server answers; raises as `call` does."""
        await self.ping(deadline_s=timeout_s)

    async def ping(self, *, deadline_s: float) -> dict[str, int]:
        """The server's `pid` and `generation`, and how many calls are `running` and `waiting`."""
        told: dict[str, int] = await self.call(PING, None, deadline_s=deadline_s)
        return told

    def _admit(self) -> None:
        if self._calls >= self._limit:
            raise WorkerBusy(f"worker {self.name}: {self._limit} calls are open")
        self._calls += 1

    async def _answer(self, link: Link, call: Call) -> Any:
        frame = encode(call)
        loop = asyncio.get_running_loop()
        answer = link.pending[call.id] = loop.create_future()
        timer = loop.call_later(call.due - time.monotonic(), self._expire, answer)
        try:
            link.write(frame)
            return await answer
        finally:
            timer.cancel()
            link.leave(call.id)

    async def _items(self, link: Link, ask: Stream) -> AsyncGenerator[Any, None]:
        frame = encode(ask)
        inbox = link.pending[ask.id] = Inbox()
        try:
            link.write(frame)
            while (item := await self._next(inbox, ask.each)) is not _END:
                yield item
                inbox.taken += 1
                link.grant(ask.id, inbox.taken)
        except _Severed:
            if inbox.taken:  # begun, for sure
                raise WorkerLost(f"worker {self.name} died with the call in hand") from None
            raise
        finally:
            link.leave(ask.id)

    async def _linked(self, due: float) -> Link:
        try:
            async with asyncio.timeout(due - time.monotonic()), self._dialling:
                if self._link is None or not self._link.open:
                    self._link = await self._dial()
                return self._link
        except TimeoutError:
            raise WorkerLost(f"worker {self.name} is not running") from None

    async def _dial(self) -> Link:
        loop = asyncio.get_running_loop()
        pause, longest = RETRY_S
        while not self._closed:
            with suppress(OSError):  # nobody listens yet
                peer = await _connected(self._path)
                _, link = await loop.create_unix_connection(partial(Link, self.name, peer), sock=peer)
                if await link.greeted() and not self._closed:
                    return link
                await link.close()
            await asyncio.sleep(pause)
            pause = min(2 * pause, longest)
        raise WorkerLost(f"worker {self.name}: client is closed")

    async def _next(self, inbox: Inbox, deadline_s: float) -> Any:
        if not inbox.items and inbox.error is None:
            try:
                async with asyncio.timeout(deadline_s):
                    await inbox.arrival()
            except TimeoutError:
                raise WorkerTimeout(f"worker {self.name}: no item in time") from None
        return inbox.take()

    def _expire(self, answer: asyncio.Future[Any]) -> None:
        if not answer.done():
            answer.set_exception(WorkerTimeout(f"worker {self.name}: no answer in time"))


class Inbox:
    """Items of one stream that have come and were not yet taken."""

    __slots__ = ("_waiter", "error", "items", "taken")

    def __init__(self) -> None:
        self.items: deque[Any] = deque()
        self.taken = 0
        self.error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    def put(self, item: Any) -> None:
        self.items.append(item)
        self._wake()

    def fail(self, error: Exception) -> None:
        self.error = error
        self._wake()

    def take(self) -> Any:
        """The next item, `_END` after the last; what came before an error comes first."""
        if self.items:
            return self.items.popleft()
        assert self.error is not None  # noqa: S101 - whoever takes has waited for one of the two
        raise self.error

    async def arrival(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Link(asyncio.Protocol):
    """One connection, and the calls that wait on it."""

    def __init__(self, name: str, peer: socket.socket) -> None:
        self.pending: dict[int, asyncio.Future[Any] | Inbox] = {}
        self.open = False
        self.instance = 0  # of the server at the other end
        self._name = name
        self._peer = peer
        self._decoder: Decoder[Answered] = Decoder(answered)
        self._gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._hello: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but name

    async def greeted(self) -> bool:
        """Wait for a server to accept; false if it went instead. Nothing is sent before, so nothing can be lost."""
        try:
            return await self._hello
        finally:
            if not self.open:
                self._transport.abort()

    def data_received(self, data: bytes) -> None:
        try:
            for message in self._decoder.feed(data):
                self._take(message)
        except Garbled:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio.Protocol's
        self.open = False
        self._drain()
        pending, self.pending = self.pending, {}
        for wait in pending.values():
            _fail(wait, _Severed())
        self._gone.set_result(None)
        if not self._hello.done():
            self._hello.set_result(False)

    def write(self, frame: bytes) -> None:
        if not self._transport.is_closing():  # else the connection is lost, as `connection_lost` is about to tell
            self._transport.write(frame)

    def grant(self, id_: int, taken: int) -> None:
        """Half the credit at a time, so that the worker need not wait for more."""
        if taken % (CREDIT // 2) == 0 and id_ in self.pending:
            self.write(encode(Credit(id_, CREDIT // 2)))

    def leave(self, id_: int) -> None:
        """The caller waits no longer; tell the server unless it has answered."""
        if self.pending.pop(id_, None) is not None and self.open:
            self.write(encode(Cancel(id_)))

    async def close(self) -> None:
        self._transport.abort()
        await self._gone

    def _drain(self) -> None:
        """Where it was a write that failed, answers of the dead server may still lie unread."""
        with suppress(OSError):
            while data := self._peer.recv(1 << 16):
                self.data_received(data)

    def _take(self, message: Answered) -> None:
        match message:
            case Result(id=id_, payload=payload):
                wait = self.pending.pop(id_, None)
                if isinstance(wait, asyncio.Future) and not wait.done():
                    wait.set_result(payload)
            case Item(id=id_, payload=payload):
                if isinstance(inbox := self.pending.get(id_), Inbox):
                    inbox.put(payload)
            case End(id=id_):
                if isinstance(inbox := self.pending.pop(id_, None), Inbox):
                    inbox.put(_END)
            case Fault(id=id_):
                if (wait := self.pending.pop(id_, None)) is not None:
                    _fail(wait, self._raised(message))
            case Hello(instance=instance):
                self._greet(instance)
            case _:
                assert_never(message)

    def _greet(self, instance: int) -> None:
        self.instance = instance
        if not self._hello.done():
            self.open = True
            self._hello.set_result(True)

    def _raised(self, fault: Fault) -> Exception:
        error = fault.raised()
        if isinstance(error, WorkerError):
            return type(error)(f"worker {self._name}: {error.message}")
        return error


_END = object()


class _Severed(Exception):
    """The connection went with this call in hand. Whether the engine had begun it, the next server will know."""


async def _connected(path: Path) -> socket.socket:
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        await asyncio.get_running_loop().sock_connect(peer, str(path))
    except BaseException:
        peer.close()
        raise
    return peer


def _finite(seconds: float) -> float:
    return float(seconds) if seconds < LONGEST_S else LONGEST_S  # JSON has no infinity


def _fail(wait: asyncio.Future[Any] | Inbox, error: Exception) -> None:
    if isinstance(wait, Inbox):
        wait.fail(error)
    elif not wait.done():
        wait.set_exception(error)
