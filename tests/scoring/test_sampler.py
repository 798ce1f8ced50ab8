"""Scoring off the path: what is offered is scored in time or shed, and no scorer can hurt an exchange."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest

from gateway.errors import WorkerBusy, WorkerLost, WorkerTimeout
from gateway.scoring.sampler import BATCH, QUEUE, SIZE, Sample, Sampler


def sample(n: int) -> Sample:
    return Sample(f"id{n}", "m", "up", f"question {n}", ("evidence",), f"answer {n}")


class Scorer:
    """Answers each call with the next of `answers`, or gives every item its number."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.calls: list[list[dict[str, Any]]] = []

    async def call(self, method: str, payload: Any, *, deadline_s: float) -> Any:
        assert (method, deadline_s) == ("score", 5.0)
        self.calls.append(payload["items"])
        answer = self.answers.pop(0) if self.answers else {"scores": [{"relevance": 0.5} for _ in payload["items"]]}
        if isinstance(answer, BaseException):
            raise answer
        return answer


@asynccontextmanager
async def running(scorer: Scorer) -> AsyncIterator[tuple[Sampler, list[tuple[str, Any]]]]:
    recorded: list[tuple[str, Any]] = []

    def record(one: Sample, scores: Mapping[str, Any], seconds: float) -> None:
        assert seconds >= 0
        recorded.append((one.id, scores["relevance"]))

    sampler = Sampler(scorer, record)
    task = asyncio.create_task(sampler.run())
    try:
        yield sampler, recorded
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_every_answer_offered_is_scored_in_batches() -> None:
    scorer = Scorer()
    async with running(scorer) as (sampler, recorded):
        for n in range(40):
            sampler.offer(sample(n))
        async with asyncio.timeout(10):
            await sampler.queue.join()
    assert recorded == [(f"id{n}", 0.5) for n in range(40)]
    assert [len(items) for items in scorer.calls] == [BATCH, BATCH, 40 - 2 * BATCH]
    said = {"question": "question 0", "context": ["evidence"], "answer": "answer 0"}
    assert scorer.calls[0][0] == {**said, "verify": True, "alone": True, "id": "id0", "route": "m"}


async def test_a_call_carries_no_more_text_than_a_process_has_time_to_write() -> None:
    scorer = Scorer()
    async with running(scorer) as (sampler, recorded):
        for n in range(3):
            sampler.offer(replace(sample(n), context=("x" * (SIZE // 2),)))
        async with asyncio.timeout(10):
            await sampler.queue.join()
    assert ([one for one, _ in recorded], [len(items) for items in scorer.calls]) == (["id0", "id1", "id2"], [1, 1, 1])


async def test_a_scorer_with_too_much_in_hand_sheds_and_that_is_counted() -> None:
    lost: list[tuple[str, int]] = []
    scorer = Scorer(WorkerBusy("full"), WorkerLost("gone"))
    sampler = Sampler(scorer, lambda *_: None, lost=lambda *why: lost.append(why))
    task = asyncio.create_task(sampler.run())
    for n in range(BATCH + 1):
        sampler.offer(sample(n))
    async with asyncio.timeout(10):
        await sampler.queue.join()
    task.cancel()
    assert lost == [("shed", BATCH), ("failed", 1)]


async def test_offering_never_waits_and_sheds_what_does_not_fit() -> None:
    sampler = Sampler(Scorer(), lambda *_: None)
    for n in range(QUEUE + 3):
        sampler.offer(sample(n))
    assert (sampler.shed, sampler.queue.qsize()) == (3, QUEUE)


@pytest.mark.parametrize(
    "answer",
    [
        WorkerLost("gone"),
        WorkerTimeout("late"),
        None,
        {},
        {"scores": []},
        {"scores": [{"relevance": 1}, {"relevance": 1}]},
        {"scores": [None]},
        {"scores": [{"irrelevance": 1}]},
        "scores",
    ],
)
async def test_a_scorer_that_fails_costs_its_scores_and_nothing_else(answer: Any) -> None:
    async with running(Scorer(answer)) as (sampler, recorded):
        sampler.offer(sample(1))
        async with asyncio.timeout(10):
            await sampler.queue.join()
        assert (sampler.failed, recorded) == (1, [])
        sampler.offer(sample(2))
        async with asyncio.timeout(10):
            await sampler.queue.join()
    assert recorded == [("id2", 0.5)]
