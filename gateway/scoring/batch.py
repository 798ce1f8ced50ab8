"""Calls that come while the scorer is busy share the next batch: batches form under load, and nobody waits for one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

from gateway.scoring.scorer import Item, Scored

CHARACTERS = 65_536  # in one batch, about 16,000 word pieces: past that a batch is slower, not better

Score = Callable[[Sequence[Item]], list[Scored]]


@dataclass(frozen=True, slots=True)
class _Call:
    items: Sequence[Item]
    done: asyncio.Future[list[Scored]]

    @property
    def size(self) -> int:
        return sum(len(i.question) + len(i.answer) + sum(map(len, i.context)) for i in self.items)


@dataclass(slots=True)
class Batcher:
    """Runs `score` in `executor`, one batch at a time. `run` must be running for `score` to answer."""

    scorer: Score
    executor: Executor
    calls: asyncio.Queue[_Call] = field(default_factory=asyncio.Queue)

    async def score(self, items: Sequence[Item]) -> list[Scored]:
        """As `Scorer.score`. A call that is cancelled before its batch begins costs nothing."""
        call = _Call(items, asyncio.get_running_loop().create_future())
        self.calls.put_nowait(call)
        return await call.done

    async def run(self) -> None:
        """For ever."""
        held: _Call | None = None
        while True:
            batch = [held or await self.calls.get()]
            held = self._filled(batch)
            await self._scored([call for call in batch if not call.done.done()])

    def _filled(self, batch: list[_Call]) -> _Call | None:
        """Add waiting calls to `batch` while there is room; the first that found none."""
        size = batch[0].size
        while not self.calls.empty():
            call = self.calls.get_nowait()
            size += call.size
            if size > CHARACTERS:
                return call
            batch.append(call)
        return None

    async def _scored(self, batch: Sequence[_Call]) -> None:
        try:
            scores = await self._ran([item for call in batch for item in call.items])
        except Exception as error:  # noqa: BLE001 - one call's text must not cost the others their scores
            if len(batch) == 1:
                _fail(batch[0], error)
            else:
                for call in batch:
                    await self._scored([call])
            return
        at = iter(scores)
        for call in batch:
            mine = [next(at) for _ in call.items]
            if not call.done.done():
                call.done.set_result(mine)

    async def _ran(self, items: Sequence[Item]) -> list[Scored]:
        if not items:
            return []
        return await asyncio.get_running_loop().run_in_executor(self.executor, self.scorer, items)


def _fail(call: _Call, error: Exception) -> None:
    if not call.done.done():
        call.done.set_exception(error)
