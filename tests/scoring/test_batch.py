import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import pytest

from gateway.scoring.batch import CHARACTERS, Batcher
from gateway.scoring.scorer import Item, Scored


class Recorder:
    """Scores an item by its answer's length, notes its batches, and can be made to wait."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.begun = threading.Event()
        self.go = threading.Event()

    def __call__(self, items: Sequence[Item]) -> list[Scored]:
        self.batches.append([item.answer for item in items])
        self.begun.set()
        assert self.go.wait(60)
        if any(item.answer == "poison" for item in items):
            raise ValueError("poison")
        return [Scored(float(len(item.answer)), None, ()) for item in items]


@asynccontextmanager
async def running(recorder: Recorder) -> AsyncIterator[Batcher]:
    with ThreadPoolExecutor(1) as executor:
        batcher = Batcher(recorder, executor)
        task = asyncio.create_task(batcher.run())
        try:
            yield batcher
        finally:
            recorder.go.set()
            task.cancel()
            await asyncio.wait([task])


def items(*answers: str) -> list[Item]:
    return [Item("", (), answer) for answer in answers]


async def begun(recorder: Recorder) -> None:
    assert await asyncio.to_thread(recorder.begun.wait, 60)


async def test_calls_that_wait_share_a_batch_and_get_their_own_scores() -> None:
    recorder = Recorder()
    async with running(recorder) as batcher:
        first = asyncio.create_task(batcher.score(items("a")))
        await begun(recorder)
        rest = [asyncio.create_task(batcher.score(items(*answers))) for answers in (("bb", "ccc"), (), ("dddd",))]
        await asyncio.sleep(0)
        recorder.go.set()
        scores = await asyncio.gather(first, *rest)

    assert [[s.relevance for s in one] for one in scores] == [[1], [2, 3], [], [4]]
    assert recorder.batches == [["a"], ["bb", "ccc", "dddd"]]


async def test_a_call_that_fails_costs_the_others_nothing() -> None:
    recorder = Recorder()
    async with running(recorder) as batcher:
        first = asyncio.create_task(batcher.score(items("a")))
        await begun(recorder)
        bad, good = (asyncio.create_task(batcher.score(items(answer))) for answer in ("poison", "bb"))
        await asyncio.sleep(0)
        recorder.go.set()
        with pytest.raises(ValueError, match="poison"):
            await bad
        assert (await first)[0].relevance == 1
        assert (await good)[0].relevance == 2


async def test_a_call_cancelled_while_it_waits_is_never_scored() -> None:
    recorder = Recorder()
    async with running(recorder) as batcher:
        first = asyncio.create_task(batcher.score(items("a")))
        await begun(recorder)
        left, stays = (asyncio.create_task(batcher.score(items(answer))) for answer in ("left", "stays"))
        await asyncio.sleep(0)
        left.cancel()
        await asyncio.wait([left])
        recorder.go.set()
        await asyncio.gather(first, stays)

    assert recorder.batches == [["a"], ["stays"]]


async def test_a_batch_is_bounded_and_what_did_not_fit_comes_next() -> None:
    recorder = Recorder()
    recorder.go.set()
    large = "x" * (CHARACTERS * 2 // 3)
    async with running(recorder) as batcher:
        await asyncio.gather(*(batcher.score(items(large)) for _ in range(3)))

    assert [len(batch) for batch in recorder.batches] == [1, 1, 1]
