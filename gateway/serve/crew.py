"""The child processes that run: each is started once, waited for, and kept as long as something needs it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from gateway.errors import TidegateError
from gateway.serve.needs import Model, Need, Worker
from gateway.upstream.embedded import free_port, running
from gateway.worker.supervisor import Host, Supervisor

READY_S = 120.0
"""Seconds that workers and models may take to start on a busy machine; 10 are usual."""

Report = Callable[[str, str, Mapping[str, Any]], None]
"""Told a worker's name, an event and its fields."""


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """One child process. `up` is done when it answers, or holds what keeps it from starting."""

    need: Need
    address: str
    task: asyncio.Task[None]
    up: asyncio.Future[None]


class Crew:
    """`take` what a configuration needs, `ready` waits for it, `keep` lets everything else go."""

    def __init__(self, folder: Path, report: Report) -> None:
        self._folder, self._report = folder, report
        self._members: dict[str, Member] = {}
        self._numbers = count(1)

    def take(self, needs: Iterable[Need], *, quiet: bool = False) -> list[Member]:
        """A member for each need, one that runs already or a new one, of whose failing to start nothing is reported."""
        return [self._members.get(need.mark) or self._started(need, quiet) for need in needs]

    async def ready(self, members: Iterable[Member]) -> None:
        """Wait until all answer. Raises, as soon as one cannot start, the reason."""
        await asyncio.gather(*(asyncio.shield(member.up) for member in members))

    async def keep(self, members: Iterable[Member]) -> None:
        """Stop all others."""
        kept = {member.need.mark for member in members}
        gone = [self._members.pop(mark) for mark in [*self._members] if mark not in kept]
        for member in gone:
            member.task.cancel()
            member.up.cancel()
        await asyncio.gather(*(member.task for member in gone), return_exceptions=True)

    def _started(self, need: Need, quiet: bool) -> Member:
        number = next(self._numbers)
        opened: AbstractAsyncContextManager[object]
        match need:
            case Worker(name=name, engine=engine, spec=spec):
                path = self._folder / f"{name}-{number}"
                address, opened = str(path), _answering(Host(name, engine, spec, path), self._report, quiet)
            case Model(spec=spec):
                port = free_port()
                address, opened = f"http://127.0.0.1:{port}/v1", running(spec, port)
        up: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        up.add_done_callback(_seen)
        member = Member(need, address, asyncio.create_task(_lived(opened, up)), up)
        self._members[need.mark] = member
        return member


@asynccontextmanager
async def _answering(host: Host, report: Report, quiet: bool) -> AsyncGenerator[None, None]:
    """A worker that answers."""

    def told(name: str, event: str, fields: Mapping[str, Any]) -> None:
        if not (quiet and event == "worker.failed"):
            report(name, event, fields)

    async with Supervisor([host], told) as supervisor:
        await supervisor.ready(READY_S)
        quiet = False
        yield


async def _lived(opened: AbstractAsyncContextManager[object], up: asyncio.Future[None]) -> None:
    try:
        async with opened:
            if not up.done():
                up.set_result(None)
            await asyncio.Event().wait()
    except TidegateError as error:
        if not up.done():
            up.set_exception(error)
    finally:
        up.cancel()  # whatever else ended it, nobody waits for ever


def _seen(up: asyncio.Future[None]) -> None:
    """Nobody may be waiting any more, and that is no news."""
    if not up.cancelled():
        up.exception()


def addresses(members: Iterable[Member], kind: type[Need]) -> dict[str, str]:
    return {member.need.name: member.address for member in members if isinstance(member.need, kind)}
