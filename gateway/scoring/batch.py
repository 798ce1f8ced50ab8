"""Calls that come while the scorer is busy share the next batch: batches form under load, and nobody waits for one.

Two lanes. What somebody waits for goes first, and what is scored beside the path fills batches of its own, small enough
that an inline call coming in meanwhile waits no longer than the budget. Texts are cut into word pieces on a thread of
their own while the batch before is with the encoder.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeVar

from gateway.errors import WorkerBusy
from gateway.scoring.scorer import Item, Ready, Scored

BUDGET_S = 0.1
"""What a batch should take at most: what an inline call may have to wait for. One item alone may take longer."""

MOST = 65_536  # word pieces of one batch, however fast: what a GPU's memory holds with ease
WAITING = 4_096  # items beside the path that may wait; more are shed

Lane = Literal["inline", "later"]
T = TypeVar("T")


class Scorer(Protocol):
    """`gateway.scoring.scorer.Scorer`."""

    def ready(self, item: Item) -> Ready: ...
    def remembers(self, text: str) -> bool: ...
    def warm(self, ready: Ready, part: int) -> None: ...
    def scored(self, items: Sequence[Ready]) -> list[Scored]: ...


@dataclass(slots=True)
class Pace:
    """How fast the scorer is: word pieces a second, as a running mean that forgets."""

    rate: float = 2_000.0

    def note(self, pieces: int, seconds: float) -> None:
        """Short batches are mostly overhead and tell nothing of the rate."""
        if pieces >= 64 and seconds > 0:
            self.rate += 0.2 * (pieces / seconds - self.rate)

    def room(self, budget_s: float) -> int:
        return min(max(int(self.rate * budget_s), 1), MOST)


@dataclass(slots=True)
class _Wait:
    ready: Ready
    done: asyncio.Future[Scored]
    warmed: int = 0  # parts of its context that were read ahead


@dataclass(slots=True)
class Batcher:
    """Runs the scorer in `executor`, one batch at a time, and cuts texts in `cutter`. `run` must be running.

    `shed` counts items that were refused because too many waited beside the path.
    """

    scorer: Scorer
    executor: Executor
    cutter: Executor
    budget_s: float = BUDGET_S
    pace: Pace = field(default_factory=Pace)
    lanes: dict[Lane, deque[_Wait]] = field(default_factory=lambda: {"inline": deque(), "later": deque()})
    shed: int = 0
    waiting: asyncio.Event = field(default_factory=asyncio.Event)

    async def score(self, items: Sequence[Item], lane: Lane = "inline") -> list[Scored]:
        """As `Scorer.score`. A call that is cancelled before its batch begins costs nothing.

        Raises `WorkerBusy` where too much waits in the lane `later`.
        """
        if lane == "later" and len(self.lanes[lane]) + len(items) > WAITING:
            self.shed += len(items)
            raise WorkerBusy("scorer: too many answers wait")
        loop = asyncio.get_running_loop()
        ready = [await loop.run_in_executor(self.cutter, self.scorer.ready, item) for item in items]
        waits = [_Wait(one, loop.create_future()) for one in ready]
        self.lanes[lane].extend(waits)
        self.waiting.set()
        try:
            return [await wait.done for wait in waits]
        finally:
            for wait in waits:
                wait.done.cancel()

    async def run(self) -> None:
        """For ever."""
        while True:
            await self.waiting.wait()
            self.waiting.clear()
            while batch := self._taken("inline"):
                await self._scored(batch)
            if (first := self._next("later")) is not None:
                self.waiting.set()
                await (self._warmed(first) if self._long(first) else self._scored(self._taken("later")))

    def _next(self, lane: Lane) -> _Wait | None:
        """The first that somebody still waits for."""
        queue = self.lanes[lane]
        while queue and queue[0].done.done():
            queue.popleft()
        return queue[0] if queue else None

    def _taken(self, lane: Lane) -> list[_Wait]:
        """As many as there is room for, one at least."""
        batch: list[_Wait] = []
        room, seen = self.pace.room(self.budget_s), set[str]()
        while wait := self._next(lane):
            room -= self._pieces(wait, seen)
            if batch and room < 0:
                break
            batch.append(self.lanes[lane].popleft())
        return batch

    def _pieces(self, wait: _Wait, seen: set[str]) -> int:
        """Word pieces to be encoded for it, besides those of texts `seen`, to which its own are added."""
        new = [text for text in wait.ready.cut if text not in seen and not self.scorer.remembers(text)]
        seen.update(new)
        return sum(len(wait.ready.cut[text]) for text in new)

    def _long(self, wait: _Wait) -> bool:
        """Whether a part of its context should be read ahead, so that inline calls need not wait for all of it."""
        left = wait.warmed < len(wait.ready.parts)
        return left and self._pieces(wait, set()) > self.pace.room(self.budget_s)

    async def _warmed(self, wait: _Wait) -> None:
        part, wait.warmed = wait.warmed, wait.warmed + 1
        with suppress(Exception):  # whatever it is will come again when the item is scored, and is told to its caller
            await self._timed(lambda: self.scorer.warm(wait.ready, part), 0)

    async def _scored(self, batch: Sequence[_Wait]) -> None:
        try:
            seen = set[str]()
            pieces = sum(self._pieces(wait, seen) for wait in batch)
            scores = await self._timed(lambda: self.scorer.scored([wait.ready for wait in batch]), pieces)
        except Exception as error:  # noqa: BLE001 - one call's text must not cost the others their scores
            if len(batch) == 1:
                _fail(batch[0], error)
            else:
                for wait in batch:
                    await self._scored([wait])
            return
        for wait, score in zip(batch, scores, strict=True):
            if not wait.done.done():
                wait.done.set_result(score)

    async def _timed(self, work: Callable[[], T], pieces: int) -> T:
        began = time.monotonic()
        result = await asyncio.get_running_loop().run_in_executor(self.executor, work)
        self.pace.note(pieces, time.monotonic() - began)
        return result


def _fail(wait: _Wait, error: Exception) -> None:
    if not wait.done.done():
        wait.done.set_exception(error)
