import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import pytest

from gateway.errors import WorkerBusy
from gateway.scoring.batch import MOST, WAITING, Batcher, Lane, Pace
from gateway.scoring.passages import Passage
from gateway.scoring.scorer import Item, Ready, Scored
from gateway.scoring.tokens import Pieces


class Recorder:
    """Scores an item by its answer's length, notes its batches, and can be made to wait."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.warmed: list[str] = []
        self.begun = threading.Event()
        self.go = threading.Event()

    def ready(self, item: Item) -> Ready:
        parts = tuple(Passage(n, 0, text) for n, text in enumerate(item.context))
        return Ready(item, parts, {text: cut(text) for text in (item.answer, *item.context)})

    def remembers(self, text: str) -> bool:
        return text in self.warmed

    def warm(self, ready: Ready, part: int) -> None:
        self.warmed.append(ready.parts[part].text)
        self._wait()

    def scored(self, items: Sequence[Ready]) -> list[Scored]:
        self.batches.append([one.item.answer for one in items])
        self._wait()
        if any(one.item.answer == "poison" for one in items):
            raise ValueError("poison")
        return [Scored(float(len(one.item.answer)), None, ()) for one in items]

    def _wait(self) -> None:
        self.begun.set()
        assert self.go.wait(60)


def cut(text: str) -> Pieces:
    """A piece a character."""
    return Pieces(text, (0,) * len(text), ((0, 1),) * len(text), (0,) * len(text))


@asynccontextmanager
async def running(recorder: Recorder, room: int = 1000) -> AsyncIterator[Batcher]:
    with ThreadPoolExecutor(1) as executor, ThreadPoolExecutor(1) as cutter:
        batcher = Batcher(recorder, executor, cutter, budget_s=1.0, pace=Steady(room))
        task = asyncio.create_task(batcher.run())
        try:
            yield batcher
        finally:
            recorder.go.set()
            task.cancel()
            await asyncio.wait([task])


class Steady(Pace):
    """As fast as it is said to be."""

    def note(self, pieces: int, seconds: float) -> None:
        pass


def items(*answers: str) -> list[Item]:
    return [Item("", (), answer) for answer in answers]


async def begun(recorder: Recorder) -> None:
    assert await asyncio.to_thread(recorder.begun.wait, 60)


async def waits(batcher: Batcher, lane: Lane, count: int) -> None:
    async with asyncio.timeout(60):
        while len(batcher.lanes[lane]) < count:  # noqa: ASYNC110 - texts are cut on another thread
            await asyncio.sleep(0.001)


async def test_calls_that_wait_share_a_batch_and_get_their_own_scores() -> None:
    recorder = Recorder()
    async with running(recorder) as batcher:
        first = asyncio.create_task(batcher.score(items("a")))
        await begun(recorder)
        rest = [asyncio.create_task(batcher.score(items(*answers))) for answers in (("bb", "ccc"), (), ("dddd",))]
        await waits(batcher, "inline", 3)
        recorder.go.set()
        scores = await asyncio.gather(first, *rest)

    assert [[s.relevance for s in one] for one in scores] == [[1], [2, 3], [], [4]]
    assert [sorted(batch) for batch in recorder.batches] == [["a"], ["bb", "ccc", "dddd"]]


async def test_a_call_that_fails_costs_the_others_nothing() -> None:
    recorder = Recorder()
    async with running(recorder) as batcher:
        first = asyncio.create_task(batcher.score(items("a")))
        await begun(recorder)
        bad, good = (asyncio.create_task(batcher.score(items(answer))) for answer in ("poison", "bb"))
        await waits(batcher, "inline", 2)
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
        await waits(batcher, "inline", 2)
        left.cancel()
        await asyncio.wait([left])
        recorder.go.set()
        await asyncio.gather(first, stays)

    assert recorder.batches == [["a"], ["stays"]]


async def test_a_batch_is_bounded_and_what_did_not_fit_comes_next() -> None:
    recorder = Recorder()
    async with running(recorder, room=10) as batcher:
        first = asyncio.create_task(batcher.score(items("a")))
        await begun(recorder)
        rest = [asyncio.create_task(batcher.score(items(c * 6, c))) for c in "bcd"]
        await waits(batcher, "inline", 6)
        recorder.go.set()
        await asyncio.gather(first, *rest)

    assert recorder.batches == [["a"], ["bbbbbb", "b"], ["cccccc", "c"], ["dddddd", "d"]]


async def test_texts_that_come_twice_take_room_once() -> None:
    recorder = Recorder()
    async with running(recorder, room=10) as batcher:
        first = asyncio.create_task(batcher.score(items("a")))
        await begun(recorder)
        rest = [asyncio.create_task(batcher.score([Item("", ("context",), answer)])) for answer in "bcd"]
        await waits(batcher, "inline", 3)
        recorder.go.set()
        await asyncio.gather(first, *rest)

    assert recorder.batches == [["a"], ["b", "c", "d"]]


async def test_who_waits_goes_before_what_is_scored_beside_the_path() -> None:
    recorder = Recorder()
    async with running(recorder) as batcher:
        first = asyncio.create_task(batcher.score(items("a")))
        await begun(recorder)
        beside = [asyncio.create_task(batcher.score(items(answer), "later")) for answer in ("b", "bb")]
        await waits(batcher, "later", 2)
        inline = asyncio.create_task(batcher.score(items("c")))
        await waits(batcher, "inline", 1)
        recorder.go.set()
        await asyncio.gather(first, inline, *beside)

    assert recorder.batches == [["a"], ["c"], ["b", "bb"]]


async def test_a_long_context_beside_the_path_is_read_in_parts_between_which_others_are_scored() -> None:
    recorder = Recorder()
    async with running(recorder, room=10) as batcher:
        long = Item("", ("x" * 9, "y" * 9, "z" * 9), "a")
        beside = asyncio.create_task(batcher.score([long], "later"))
        await begun(recorder)
        inline = asyncio.create_task(batcher.score(items("c")))
        await waits(batcher, "inline", 1)
        recorder.go.set()
        await asyncio.gather(beside, inline)

    assert recorder.batches == [["c"], ["a"]]
    assert recorder.warmed == ["x" * 9, "y" * 9]  # the rest fits


async def test_beside_the_path_more_than_can_wait_is_shed_and_counted() -> None:
    recorder = Recorder()
    async with running(recorder) as batcher:
        first = asyncio.create_task(batcher.score(items("a")))
        await begun(recorder)
        kept = asyncio.create_task(batcher.score(items(*"a" * (WAITING - 1)), "later"))
        await waits(batcher, "later", WAITING - 1)
        with pytest.raises(WorkerBusy):
            await batcher.score(items("b", "b"), "later")
        assert batcher.shed == 2
        recorder.go.set()
        assert len(await kept) == WAITING - 1
        await first


def test_room_follows_the_pace() -> None:
    pace = Pace()
    for _ in range(50):
        pace.note(1000, 0.1)
    pace.note(1, 60.0)  # an overhead, no pace
    assert pace.room(0.1) == pytest.approx(1000, rel=0.01)
    assert pace.room(1e9) == MOST
    assert pace.room(0.0) == 1
