"""The server half of a host: one engine, one event loop, any number of clients on a Unix socket.

Calls run side by side up to a limit, wait in order up to another, and are refused beyond. What a call carries is never
logged, nor put into an error.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass
from typing import Any, Protocol, assert_never, cast

from gateway.errors import WorkerBusy, WorkerLost, WorkerTimeout
from gateway.worker.frames import (
    PING,
    Answered,
    Asked,
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
    asked,
    encode,
)
from gateway.worker.pulse import BEAT_S, STUBBORN_S, Pulse

_END = object()


class Engine(Protocol):
    async def call(self, method: str, payload: Any) -> Any: ...


class Streaming(Engine, Protocol):
    def stream(self, method: str, payload: Any) -> AsyncGenerator[Any, None]: ...


class Module(Protocol):
    """What an engine's module has (see `gateway.worker`)."""

    def prepare(self, spec: Any) -> object: ...

    def open(self, spec: Any, prepared: object) -> AbstractAsyncContextManager[Engine]: ...


@dataclass(frozen=True, slots=True)
class Room:
    """How many calls run at once, and how many more may wait."""

    running: int = 64
    waiting: int = 1024


@dataclass(frozen=True, slots=True)
class Seat:
    """What a template gives each of its servers. `instance` is the template's, `generation` the server's number."""

    listener: socket.socket
    pulse: Pulse
    room: Room
    instance: int
    generation: int


async def serve(opening: AbstractAsyncContextManager[Engine], seat: Seat) -> None:
    """Open the engine, answer until SIGTERM, close the engine."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_discreet)
    stop = asyncio.Event()
    async with opening as engine:
        loop.add_signal_handler(signal.SIGTERM, stop.set)
        seat.pulse.opened(time.monotonic())
        desk = Desk(engine, seat)
        beating = asyncio.create_task(_beat(seat.pulse))
        accepting = asyncio.create_task(_accept(seat.listener, lambda: Session(desk)))
        stopping = asyncio.create_task(stop.wait())
        # Neither of the other two ends unless it is broken: then the server goes, and another takes its place.
        await asyncio.wait((stopping, beating, accepting), return_when=asyncio.FIRST_COMPLETED)
        for task in (stopping, beating, accepting):
            task.cancel()
        await desk.close()


class Desk:
    """Where calls are taken in, queued, run and accounted for."""

    def __init__(self, engine: Engine, seat: Seat) -> None:
        self.engine = engine
        self.seat = seat
        self._tasks: dict[Job, asyncio.Task[None]] = {}
        self._waiting: OrderedDict[Job, None] = OrderedDict()
        self._due: dict[Job, float] = {}

    def admit(self, job: Job) -> None:
        if len(self._tasks) < self.seat.room.running:
            self._start(job)
        elif len(self._waiting) < self.seat.room.waiting:
            self._waiting[job] = None
        else:
            job.fail(WorkerBusy("queue is full"))

    def drop(self, job: Job) -> None:
        """Nobody waits for this job any more."""
        if job in self._waiting:
            del self._waiting[job]
        elif (task := self._tasks.get(job)) is not None:
            task.cancel()

    def expect(self, job: Job, due: float) -> None:
        """The engine now works on `job` and must be done with it, or with its next item, at `due`."""
        self._due[job] = due
        self._tell()

    def rest(self, job: Job) -> None:
        """The engine is not working on `job`."""
        if self._due.pop(job, None) is not None:
            self._tell()

    def told(self) -> dict[str, int]:
        """The answer to a ping."""
        running, waiting = len(self._tasks), len(self._waiting)
        return {"pid": os.getpid(), "generation": self.seat.generation, "running": running, "waiting": waiting}

    async def close(self) -> None:
        self._waiting.clear()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, job: Job) -> None:
        task = self._tasks[job] = asyncio.create_task(job.run())
        task.add_done_callback(lambda _: self._ended(job))

    def _ended(self, job: Job) -> None:
        del self._tasks[job]
        self.rest(job)
        if self._waiting:
            self._start(self._waiting.popitem(last=False)[0])

    def _tell(self) -> None:
        self.seat.pulse.load(time.monotonic(), min(self._due.values(), default=0.0), len(self._due))


class Session(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._decoder: Decoder[Asked] = Decoder(asked)
        self._jobs: dict[int, Job] = {}
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but name
        self.send(Hello(self.desk.seat.instance))

    def data_received(self, data: bytes) -> None:
        try:
            for message in self._decoder.feed(data):
                self._take(message)
        except Garbled:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio.Protocol's
        for job in list(self._jobs.values()):
            self.desk.drop(job)
        self._jobs.clear()

    # A client that does not read its answers is not read from either, so that they do not pile up here.
    def pause_writing(self) -> None:
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._transport.resume_reading()

    def send(self, message: Answered) -> None:
        """Raises `Garbled` for what cannot be sent. Silent where the client has gone."""
        frame = encode(message)
        if not self._transport.is_closing():
            self._transport.write(frame)

    def forget(self, id_: int) -> None:
        self._jobs.pop(id_, None)

    def _take(self, message: Asked) -> None:
        match message:
            case Call(method=method, id=id_) if method == PING:
                self.send(Result(id_, self.desk.told()))
            case Call() | Stream():
                self._admit(message)
            case Cancel(id=id_):
                if (job := self._jobs.pop(id_, None)) is not None:
                    self.desk.drop(job)
            case Credit(id=id_, more=more):
                if (job := self._jobs.get(id_)) is not None:
                    job.grant(more)
            case _:
                assert_never(message)

    def _admit(self, message: Call | Stream) -> None:
        if message.id in self._jobs:
            raise Garbled("two calls of one number")
        job = self._jobs[message.id] = Job(self, message)
        if message.again and self._was_begun(message):
            job.fail(WorkerLost("died with the call in hand"))
        else:
            self.desk.admit(job)

    def _was_begun(self, ask: Call | Stream) -> bool:
        """Whether a server before this one had begun it, or may have: another template's memory is lost."""
        seat = self.desk.seat
        return ask.again != seat.instance or seat.pulse.has_begun(ask.id)


class Job:
    """One call or stream in hand."""

    __slots__ = ("_ask", "_credit", "_desk", "_granted", "_session")

    def __init__(self, session: Session, ask: Call | Stream) -> None:
        self._session = session
        self._desk = session.desk
        self._ask = ask
        self._credit = ask.credit if isinstance(ask, Stream) else 0
        self._granted: asyncio.Event | None = None

    async def run(self) -> None:
        """Have the engine do it and answer; an exception, of whatever kind, is an answer too."""
        try:
            self._desk.seat.pulse.begin(self._ask.id)
            await self._work()
        except asyncio.CancelledError as error:
            if _cancelled():
                raise
            self.fail(error)
        except BaseException as error:  # noqa: BLE001 - SystemExit in one call must not end its neighbours
            self.fail(error)
        finally:
            self._desk.seat.pulse.end(self._ask.id)
            self._session.forget(self._ask.id)

    def fail(self, error: BaseException) -> None:
        self._session.forget(self._ask.id)
        try:
            self._session.send(Fault.of(self._ask.id, error))
        except Garbled as garbled:  # an exception can carry what JSON cannot
            self._session.send(Fault.of(self._ask.id, garbled))

    def grant(self, more: int) -> None:
        self._credit += more
        if self._granted is not None:
            self._granted.set()

    async def _work(self) -> None:
        match self._ask:
            case Call() as call:
                await self._answer(call)
            case Stream() as stream:
                await self._produce(stream)

    async def _answer(self, call: Call) -> None:
        engine = self._desk.engine
        result = await self._timed(call.due, lambda: engine.call(call.method, call.payload))
        self._session.send(Result(call.id, result))

    async def _produce(self, stream: Stream) -> None:
        engine: Any = self._desk.engine  # one that cannot stream has no such attribute, which is a fault like any other
        async with aclosing(engine.stream(stream.method, stream.payload)) as items:
            try:
                await self._pass_on(items, stream)
            finally:
                self._desk.expect(self, time.monotonic() + STUBBORN_S)  # to close the engine's generator
        self._session.send(End(stream.id))

    async def _pass_on(self, items: AsyncGenerator[Any, None], stream: Stream) -> None:
        while True:
            await self._credited()
            item = await self._timed(time.monotonic() + stream.each, lambda: anext(items, _END))
            if item is _END:
                return
            self._session.send(Item(stream.id, item))
            self._credit -= 1

    async def _timed(self, due: float, work: Callable[[], Awaitable[Any]]) -> Any:
        left = due - time.monotonic()
        if left <= 0:
            raise WorkerTimeout("no answer in time")
        # Accounted for only now: a call that waited behind one that holds the loop is not the one that holds it.
        self._desk.expect(self, due)
        try:
            async with asyncio.timeout(left) as timer:
                result = await work()
        except TimeoutError:
            if timer.expired():
                raise WorkerTimeout("no answer in time") from None
            raise
        self._desk.rest(self)
        return result

    async def _credited(self) -> None:
        while self._credit <= 0:
            self._granted = self._granted or asyncio.Event()
            self._granted.clear()
            await self._granted.wait()


async def _beat(pulse: Pulse) -> None:
    while True:
        pulse.beat(time.monotonic())
        await asyncio.sleep(BEAT_S)


async def _accept(listener: socket.socket, session: Callable[[], Session]) -> None:
    """Accept on a socket that is the template's too, and stays open when this server goes."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            connection, _ = await loop.sock_accept(listener)
            await loop.connect_accepted_socket(session, connection)
        except OSError:  # no file descriptor left, or the client has gone already
            await asyncio.sleep(BEAT_S)


def _cancelled() -> bool:
    """Whether it was we who cancelled the running task, and not the engine that raised CancelledError by itself."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _discreet(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    # asyncio's own handler prints the exception, whose text may be a prompt.
    error = context.get("exception")
    sys.stderr.write(f"worker: {type(error).__name__ if error else 'event loop'}: unhandled in a background task\n")
