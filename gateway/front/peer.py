"""Another process, as this one sees it: each may ask and must answer, in lines of JSON over a socket pair."""

from __future__ import annotations

import asyncio
import itertools
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Self

import orjson

from gateway.errors import TidegateError

Json = Any
Answers = Mapping[str, Callable[[Json], Awaitable[Json]]]
"""What can be asked for by name, and who answers. What a `TidegateError` says is told; it has no text of clients."""

LONGEST = 64 * 1024 * 1024  # of a line: a configuration with ten thousand patterns is a quarter of a megabyte

_LOG = logging.getLogger("tidegate.peer")


class Gone(Exception):
    """The other process went, or closes."""


class Declined(Exception):
    """The other process says no, and why."""


class Peer:
    """The process at the other end of a connection. `run` answers it; `ask` asks it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answers: Answers) -> None:
        self._reader, self._writer, self._answers = reader, writer, answers
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[Json]] = {}
        self._answering: set[asyncio.Task[None]] = set()
        self._gone = False

    @classmethod
    async def over(cls, sock: socket.socket, answers: Answers) -> Self:
        return cls(*await asyncio.open_unix_connection(sock=sock, limit=LONGEST), answers)

    async def ask(self, what: str, about: Json = None, *, timeout_s: float = 60.0) -> Json:
        """The other's answer. Raises `Gone`, `Declined`, and `TimeoutError` after `timeout_s` seconds."""
        if self._gone:
            raise Gone
        number = next(self._numbers)
        answer = self._asked[number] = asyncio.get_running_loop().create_future()
        try:
            self._write({"number": number, "ask": what, "about": about})
            async with asyncio.timeout(timeout_s):
                return await answer
        finally:
            self._asked.pop(number, None)

    async def run(self) -> None:
        """Answer until the other end closes; whoever still waits for an answer then gets `Gone`."""
        try:
            with suppress(ConnectionError):
                while line := await self._reader.readline():
                    self._take(orjson.loads(line))
        finally:
            self._close()
            for task in self._answering:
                task.cancel()
            await asyncio.gather(*self._answering, return_exceptions=True)

    def _take(self, told: Json) -> None:
        if "ask" in told:
            task = asyncio.create_task(self._answer(told))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)
        elif (waiting := self._asked.get(told["number"])) and not waiting.done():
            _settle(waiting, told)

    async def _answer(self, told: Json) -> None:
        answer = {"number": told["number"]}
        try:
            answer |= {"answer": await self._answers[told["ask"]](told["about"])}
        except TidegateError as error:
            answer |= {"no": error.message}
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the other process must not wait for ever
            _LOG.error("could not answer %s", told["ask"], exc_info=error)
            answer |= {"no": type(error).__name__}
        self._write(answer)

    def _write(self, message: Json) -> None:
        if not self._gone:
            self._writer.write(orjson.dumps(message) + b"\n")

    def _close(self) -> None:
        self._gone = True
        self._writer.close()
        for waiting in self._asked.values():
            if not waiting.done():
                waiting.set_exception(Gone())


def _settle(waiting: asyncio.Future[Json], told: Json) -> None:
    if "no" in told:
        waiting.set_exception(Declined(told["no"]))
    else:
        waiting.set_result(told["answer"])
