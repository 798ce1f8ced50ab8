"""Places at an upstream: bounded, in order, and none is ever lost."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.traffic import Load
from gateway.errors import UpstreamBusy
from gateway.routing.gate import Gate


async def taken(gate: Gate) -> None:
    if not gate.enter():
        await gate.wait()


async def test_they_enter_in_the_order_in_which_they_came() -> None:
    gate, entered = Gate("up", Load(concurrency=1, queue=5)), list[int]()

    async def one(n: int) -> None:
        await taken(gate)
        entered.append(n)

    await taken(gate)
    waiting = [asyncio.create_task(one(n)) for n in range(3)]
    await asyncio.sleep(0)
    assert (gate.busy, gate.waiting, gate.enter()) == (1, 3, False)
    for n in range(3):
        gate.leave(0.1)
        await waiting[n]
    assert (entered, gate.busy) == ([0, 1, 2], 1)


async def test_whoever_finds_the_queue_full_is_told_when_to_come_back() -> None:
    gate = Gate("up", Load(concurrency=2, queue=0))
    for _ in range(4):
        assert gate.enter()
        gate.leave(8.0)
    assert gate.enter()
    assert gate.enter()
    with pytest.raises(UpstreamBusy) as busy:
        await gate.wait()
    assert (busy.value.status, busy.value.retry_after) == (503, 4.0)  # one of two will be done


async def test_nobody_waits_longer_than_allowed() -> None:
    gate = Gate("up", Load(concurrency=1, queue=1, queue_s=0.05))
    assert gate.enter()
    with pytest.raises(UpstreamBusy, match=r"within 0\.05 s"):
        await gate.wait()
    assert (gate.busy, gate.waiting) == (1, 0)


async def test_a_place_given_to_one_that_left_goes_to_the_next() -> None:
    gate = Gate("up", Load(concurrency=1, queue=5))
    await taken(gate)
    first, second = asyncio.create_task(gate.wait()), asyncio.create_task(gate.wait())
    await asyncio.sleep(0)
    gate.leave()  # first has the place, and does not know it yet
    first.cancel()
    await asyncio.wait_for(second, 1)
    assert (gate.busy, gate.waiting) == (1, 0)


STEPS = st.lists(st.tuples(st.sampled_from(("come", "done", "left")), st.integers(0, 9)), max_size=40)


@settings(max_examples=60)
@given(st.integers(1, 3), st.integers(0, 3), STEPS)
def test_however_they_come_and_go_no_place_is_lost(most: int, queue: int, steps: list[tuple[str, int]]) -> None:
    async def walk() -> None:
        gate = Gate("up", Load(concurrency=most, queue=queue, queue_s=60))
        there: list[asyncio.Event] = []
        tasks: list[asyncio.Task[None]] = []

        async def visit(done: asyncio.Event) -> None:
            try:
                await taken(gate)
            except UpstreamBusy:
                return
            try:
                await done.wait()
            finally:
                gate.leave()

        for what, at in steps:
            match what:
                case "come":
                    there.append(asyncio.Event())
                    tasks.append(asyncio.create_task(visit(there[-1])))
                case "done" if there:
                    there[at % len(there)].set()
                case "left" if tasks:
                    tasks[at % len(tasks)].cancel()
            if at % 3:  # not always: what happens within one turn of the loop is the hard part
                await asyncio.sleep(0)
            assert gate.busy <= most
            assert gate.waiting <= queue
        for event in there:
            event.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert (gate.busy, gate.waiting) == (0, 0)

    asyncio.run(walk())
