"""The HTTP processes: started and started again, told which configuration stands, asked what they counted, drained."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gateway
from gateway.errors import WorkerFault
from gateway.front.order import Order
from gateway.front.peer import Answers, Declined, Gone, Json, Peer
from gateway.limits.table import created
from gateway.serve.crew import Report
from gateway.serve.tally import Tally

NAME = "http"  # of these processes, in events and metrics

BACKOFF_S = (0.0, 0.2, 1.0, 5.0)
"""Before the n-th restart in a row of an HTTP process."""

SPARE = 3  # times as many processes as are wanted may hold accounts: one that goes may outlive the start of the next
STEADY_S = 30.0  # a process that lived this long starts the count anew
ANSWER_S = 60.0  # policies are built in well under a second; on a machine that does other things, in some
COUNT_S = 2.0
FAREWELL_S = 3.0  # beyond the drain time, to close what is open


class Fronts:
    """Keeps HTTP processes serving on `listener`. `current` is what stands; whoever starts is told it."""

    def __init__(self, listener: socket.socket, order: Order, tally: Tally, report: Report) -> None:
        self.listener, self.tally, self.report = listener, tally, report
        self.current = order
        self.released: Callable[[], None] = lambda: None  # called when some process holds a configuration no longer
        self.cancelled = 0
        self.stopping = asyncio.Event()
        self.accounts = -1  # descriptor of what keys have used, which all processes share
        self._slots: list[Slot] = []

    @property
    def fronts(self) -> list[Front]:
        return [life.front for slot in self._slots for life in slot.lives if life.front]

    @property
    def held(self) -> set[int]:
        """Configurations that some process may still have exchanges in."""
        return {self.current.generation}.union(*(front.holding for front in self.fronts))

    def start(self, count: int) -> None:
        self.accounts = created(SPARE * count)
        self._slots = [Slot(self) for _ in range(count)]

    async def ready(self) -> None:
        """Wait until all serve. Raises `WorkerFault` where one cannot start at all."""
        await asyncio.gather(*(asyncio.shield(slot.ready) for slot in self._slots))

    async def swap(self, order: Order) -> None:
        """Have every process take `order`, or none. Raises `WorkerFault` where one cannot."""
        fronts = [front for front in self.fronts if front.serving]
        said = await asyncio.gather(*(front.prepare(order) for front in fronts), return_exceptions=True)
        faults = [one for one in said if isinstance(one, BaseException) and not isinstance(one, Gone)]
        if faults:
            await asyncio.gather(*(front.drop(order.generation) for front in fronts))
            raise WorkerFault(f"an HTTP process cannot take it: {faults[0] or type(faults[0]).__name__}")
        self.current = order
        await asyncio.gather(*(front.commit(order.generation) for front in fronts))

    async def renew(self) -> None:
        """Put a new process in the place of each, one after the other. Raises `WorkerFault` where one cannot start."""
        for slot in self._slots:
            await slot.renew()

    async def counted(self) -> str:
        """What all processes have counted, in Prometheus' text format."""
        return self.tally.summed(await asyncio.gather(*(front.count() for front in self.fronts)))

    async def drained(self, drain_s: float, hurry: asyncio.Event, leave_s: float = 0.0) -> None:
        """Say for `leave_s` that we go, then take no more connections and finish what is under way.

        What outlives `drain_s`, or `hurry`, is killed.
        """
        self.stopping.set()
        await asyncio.gather(*(front.leave() for front in self.fronts))
        if leave_s:
            with suppress(TimeoutError):
                await asyncio.wait_for(hurry.wait(), leave_s)
        self.listener.close()
        self._signal(signal.SIGTERM)
        with suppress(TimeoutError):
            async with asyncio.timeout(drain_s + FAREWELL_S):
                await _first(hurry, [slot.task for slot in self._slots])
        self._signal(signal.SIGKILL)
        await asyncio.gather(*(slot.task for slot in self._slots), return_exceptions=True)

    def _signal(self, number: signal.Signals) -> None:
        for front in self.fronts:
            front.signal(number)


class Slot:
    """A place where one process is kept. `ready` is done once one served, or holds why none can."""

    def __init__(self, owner: Fronts) -> None:
        self.owner = owner
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ready.add_done_callback(lambda ready: ready.cancelled() or ready.exception())
        self.lives: set[Life] = set()  # the process of this place, and those that go
        self.generation = 0  # of processes in this place
        self.life = self._begun("")
        self.task = asyncio.create_task(self._kept())

    async def renew(self) -> None:
        """Have a new process serve, then the one before go. Raises `WorkerFault` where the new one cannot start."""
        before = self.life
        self.life = new = self._begun("renewed")
        ends: set[asyncio.Future[Any]] = {new.task, new.serving}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if self.owner.stopping.is_set():
            return
        if not new.serving.done():
            if not before.task.done():
                self.life = before
            raise WorkerFault(f"a new HTTP process cannot start: {await new.task}; what it said stands above")
        before.leave(self.owner.current.config.gateway.server.drain_s)

    def _begun(self, reason: str) -> Life:
        self.generation += 1
        life = Life(self, self.generation, reason)
        self.lives.add(life)
        life.task.add_done_callback(lambda _: self.lives.discard(life))
        return life

    async def _kept(self) -> None:
        streak = 0
        while not self.owner.stopping.is_set():
            life = self.life
            reason = await asyncio.shield(life.task)
            if self.owner.stopping.is_set():
                break
            if life is not self.life:  # another one has its place
                continue
            if not self.ready.done():
                said = f"the HTTP process cannot start: {reason}; what it said stands above"
                self.ready.set_exception(WorkerFault(said))
                return
            streak = 0 if time.monotonic() - life.began > STEADY_S else streak + 1
            self.owner.report(NAME, "worker.failed", {"reason": reason})
            await self._pause(BACKOFF_S[min(streak, len(BACKOFF_S) - 1)])
            if life is self.life and not self.owner.stopping.is_set():
                self.life = self._begun(reason)
        self.ready.cancel()
        await asyncio.gather(*(life.task for life in self.lives), return_exceptions=True)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self.owner.stopping.wait(), seconds)


class Life:
    """One process, from its start to its end; `task` tells what ended it, `serving` is done once it serves."""

    def __init__(self, slot: Slot, generation: int, reason: str) -> None:
        self.owner, self._slot, self._generation, self._reason = slot.owner, slot, generation, reason
        self.began = time.monotonic()
        self.front: Front | None = None
        self.serving: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.task = asyncio.create_task(self._lived())

    def leave(self, drain_s: float) -> None:
        """Have it finish what is under way and go; what outlives `drain_s` is killed."""
        if front := self.front:
            front.signal(signal.SIGTERM)
            late = asyncio.get_running_loop().call_later(drain_s + FAREWELL_S, front.signal, signal.SIGKILL)
            self.task.add_done_callback(lambda _: late.cancel())

    async def _lived(self) -> str:
        ours, theirs = socket.socketpair()
        with theirs:
            process = await _spawned(self.owner.listener, theirs, self.owner.accounts)
        front = self.front = Front(self.owner, process, lambda: self._serves(process))
        try:
            if self.owner.stopping.is_set():
                process.terminate()
            front.peer = await Peer.over(ours, front.answers())
            await front.peer.run()
            return _cause(await process.wait())
        finally:
            self.front = None
            front.gone()

    def _serves(self, process: Process) -> None:
        ready, seconds = self._slot.ready, round(time.monotonic() - self.began, 3)
        told = {"pid": process.pid, "generation": self._generation, "seconds": seconds}
        self.serving.set_result(None)
        if ready.done():
            self.owner.report(NAME, "worker.restarted", {**told, "reason": self._reason})
        else:
            self.owner.report(NAME, "worker.started", told)
            ready.set_result(None)


@dataclass(slots=True, eq=False)
class Front:
    """One HTTP process. `holding` are the configurations it may have exchanges in, `counted` what it last told."""

    owner: Fronts
    process: Process
    serves: Callable[[], None]
    peer: Peer = field(init=False)
    holding: set[int] = field(default_factory=set)
    serving: bool = False
    counted: str = ""

    def signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            self.process.send_signal(number)

    def gone(self) -> None:
        self.owner.tally.part(self.counted)
        self.owner.released()

    # What it is asked

    async def prepare(self, order: Order) -> None:
        self.holding.add(order.generation)
        await self.peer.ask("prepare", order.json(), timeout_s=ANSWER_S)

    async def commit(self, generation: int) -> None:
        """One that does not answer is beyond help; the next one starts with what stands then."""
        try:
            await self.peer.ask("commit", generation, timeout_s=ANSWER_S)
        except (Declined, TimeoutError):
            self.signal(signal.SIGKILL)
        except Gone:
            pass

    async def drop(self, generation: int) -> None:
        with suppress(Gone, Declined, TimeoutError):
            await self.peer.ask("drop", generation, timeout_s=ANSWER_S)
        self.holding.discard(generation)

    async def leave(self) -> None:
        """From now on it says that it is not ready."""
        if self.serving:
            with suppress(Gone, Declined, TimeoutError):
                await self.peer.ask("leave", timeout_s=COUNT_S)

    async def count(self) -> str:
        with suppress(Gone, Declined, TimeoutError):
            self.counted = await self.peer.ask("count", timeout_s=COUNT_S)
        return self.counted

    # What it asks

    def answers(self) -> Answers:
        return {
            "order": self._order,
            "serving": self._serving,
            "retired": self._retired,
            "sum": self._sum,
            "ended": self._ended,
        }

    async def _order(self, _: Json) -> Json:
        self.holding = {self.owner.current.generation}
        return self.owner.current.json()

    async def _serving(self, generation: int) -> None:
        self.serving = True
        self.serves()
        while generation != self.owner.current.generation:  # it changed while this one started
            order = self.owner.current
            await self.prepare(order)
            await self.commit(order.generation)
            generation = order.generation

    async def _retired(self, generation: int) -> None:
        self.holding.discard(generation)
        self.owner.released()

    async def _sum(self, _: Json) -> Json:
        return await self.owner.counted()

    async def _ended(self, told: Mapping[str, Any]) -> None:
        self.counted = told["metrics"]
        self.owner.cancelled += told["cancelled"]


async def _first(event: asyncio.Event, tasks: Sequence[asyncio.Task[None]]) -> None:
    """Wait until `event` is set or all `tasks` are done."""
    waiting = asyncio.create_task(event.wait())
    left: set[asyncio.Task[Any]] = set(tasks)
    try:
        while left and not waiting.done():
            done, _ = await asyncio.wait({waiting, *left}, return_when=asyncio.FIRST_COMPLETED)
            left -= done
    finally:
        waiting.cancel()


async def _spawned(listener: socket.socket, control: socket.socket, accounts: int) -> Process:
    listen, told = listener.fileno(), control.fileno()
    words = {"--listen": listen, "--control": told, "--accounts": accounts, "--parent": os.getpid()}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "gateway.front"),
        *(word for name, value in words.items() for word in (name, str(value))),
        stdin=DEVNULL,
        pass_fds=[listen, told, accounts],
        env={**os.environ, "PYTHONPATH": _path()},
        start_new_session=True,
    )


def _cause(code: int) -> str:
    return f"exit {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"


def _path() -> str:
    """Where this very package is found, first."""
    root = str(Path(gateway.__file__).parent.parent)
    return os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
