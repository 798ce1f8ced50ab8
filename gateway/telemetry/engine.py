"""The exporter as an engine of the worker harness: a follower for every destination.

Spec: `{"destinations": [...]}`, each as `Destination` reads it.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from gateway.errors import WorkerFault
from gateway.telemetry.destination import Destination
from gateway.telemetry.follower import Follower
from gateway.telemetry.place import locked
from gateway.telemetry.standing import text
from gateway.telemetry.traces import Traces
from gateway.upstream.pool import open_pool
from gateway.upstream.post import Post

Json = Any

FAREWELL_S = 1.5  # to send what is left; the harness waits for 2
AGAIN_S = 5.0  # after a fault of the disk

_LOG = logging.getLogger("tidegate.export")


def prepare(spec: Json) -> None:
    """Nothing but the imports."""


@asynccontextmanager
async def open(spec: Json, prepared: object) -> AsyncIterator[Engine]:  # noqa: A001, ARG001 - the harness's words
    destinations = [Destination.read(told) for told in spec["destinations"]]
    async with open_pool() as pool:
        engine = Engine(Post(pool))
        tasks = [asyncio.create_task(engine.follow(to), name=to.name) for to in destinations]
        for task in tasks:
            task.add_done_callback(_ended)
        try:
            yield engine
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@dataclass(slots=True, eq=False)
class Engine:
    """`followers` are those whose turn it is: one process at a time sends to a destination."""

    post: Post
    followers: list[Follower] = field(default_factory=list)

    async def follow(self, to: Destination) -> None:
        """For ever. When told to leave, send what is left."""
        async with AsyncExitStack() as stack:
            while (lock := locked(to.state / f"{to.name}.lock")) is None:  # noqa: ASYNC110 - a file's lock
                await asyncio.sleep(0.2)
            stack.callback(lock.close)
            follower = Follower(to, self.post, Traces(to.state / f"{to.name}.traces"))
            stack.callback(follower.close)
            self.followers.append(follower)
            try:
                await self._followed(follower)
            finally:
                with suppress(TimeoutError, OSError):
                    async with asyncio.timeout(FAREWELL_S):
                        await follower.part()

    async def _followed(self, follower: Follower) -> None:
        while True:
            try:
                await follower.run()
            except* OSError as errors:
                _LOG.error("could not note what was sent: %s", _reasons(errors.exceptions))
            await asyncio.sleep(AGAIN_S)

    async def call(self, method: str, payload: Json) -> Json:  # noqa: ARG002 - the harness's words
        """`news` gives `{"entries": [[event, fields]], "metrics": text}`: events since the last time.

        Raises `WorkerFault` for any other method.
        """
        if method != "news":
            raise WorkerFault(f"export: no method {method!r}")
        standings = [follower.standing for follower in self.followers]
        return {"entries": [told for one in standings for told in one.news()], "metrics": text(standings)}


def _ended(task: asyncio.Task[None]) -> None:
    """What nobody foresaw ends the process: another is started, which goes on where this one was."""
    if not task.cancelled() and (error := task.exception()):
        _LOG.error("cannot go on with %s", task.get_name(), exc_info=error)
        os._exit(1)


def _reasons(errors: Sequence[BaseException]) -> str:
    return ", ".join(str(getattr(error, "strerror", None) or "another fault") for error in errors)
