from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from support.workers import Start, Worker

from gateway.errors import WorkerError, WorkerLost, WorkerTimeout

pytestmark = pytest.mark.engine

BACK_S = 2.0  # a killed server is replaced within this
LATE_S = 0.25  # a call ends no later than this after its deadline


@pytest_asyncio.fixture
async def worker(start: Start) -> AsyncIterator[Worker]:
    async with start() as one:
        yield one


async def test_a_blocking_call_is_killed_and_the_worker_is_back(worker: Worker) -> None:
    before = await who(worker)
    with pytest.raises(WorkerTimeout):
        await worker.client.call("block", 60, deadline_s=0.2)
    after = await who(worker, within=BACK_S)
    assert after["pid"] != before["pid"]
    assert after["template"] == before["template"]  # nothing was imported again
    assert (await restarts(worker, 1))[0]["reason"] == "stuck"


async def test_a_regular_expression_that_backtracks_is_killed_and_nobody_else_notices(worker: Worker) -> None:
    lags = asyncio.create_task(lag(1.0))
    started = time.monotonic()
    with pytest.raises(WorkerTimeout):
        await worker.client.call("redos", "a" * 40 + "!", deadline_s=0.3)
    assert time.monotonic() - started < 0.3 + LATE_S
    await who(worker, within=BACK_S)
    assert await lags < 0.2  # the pattern would hold this loop for hours


async def test_calls_that_wait_behind_a_hung_one_are_answered_by_the_next_server(worker: Worker) -> None:
    hung = asyncio.create_task(worker.client.call("block", 60, deadline_s=0.3))
    await asyncio.sleep(0.1)
    answers = await asyncio.gather(*(worker.client.call("echo", n, deadline_s=10) for n in range(50)))
    assert answers == list(range(50))
    with pytest.raises(WorkerTimeout):
        await hung


async def test_a_call_that_was_begun_is_not_begun_again(worker: Worker, folder: Path) -> None:
    mark = folder / "mark"
    call = asyncio.create_task(worker.client.call("noted", str(mark), deadline_s=60))
    await made(mark)
    os.kill((await who(worker))["pid"], signal.SIGKILL)
    with pytest.raises(WorkerLost):
        await asyncio.wait_for(call, BACK_S)
    assert mark.read_text() == "x"


async def test_a_call_whose_template_died_is_lost_rather_than_begun_again(worker: Worker, folder: Path) -> None:
    mark = folder / "mark"
    call = asyncio.create_task(worker.client.call("noted", str(mark), deadline_s=60))
    await made(mark)
    os.kill((await who(worker))["template"], signal.SIGKILL)
    with pytest.raises(WorkerLost):
        await asyncio.wait_for(call, 30)
    assert mark.read_text() == "x"


async def test_answers_that_a_server_gave_before_it_died_are_not_lost(worker: Worker) -> None:
    await worker.client.ready(5)
    calls = [asyncio.create_task(worker.client.call("echo", n, deadline_s=20)) for n in range(30)]
    kill = asyncio.create_task(worker.client.call("kill", signal.SIGKILL, deadline_s=20))
    await asyncio.sleep(0)
    time.sleep(0.3)  # noqa: ASYNC251 - so that all has happened before this loop looks
    late = asyncio.create_task(worker.client.call("echo", "late", deadline_s=20))  # is written to nobody
    assert await asyncio.gather(*calls) == list(range(30))
    assert await late == "late"
    with pytest.raises(WorkerLost):
        await kill


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP, signal.SIGSEGV, signal.SIGABRT])
async def test_a_server_that_is_killed_or_stopped_from_outside_is_replaced(worker: Worker, number: int) -> None:
    before = await who(worker)
    call = asyncio.create_task(worker.client.call("sleep", 60, deadline_s=60))
    await asyncio.sleep(0.1)
    os.kill(before["pid"], number)
    with pytest.raises(WorkerLost):
        await asyncio.wait_for(call, BACK_S)
    after = await who(worker, within=BACK_S)
    assert after["pid"] != before["pid"]
    assert after["template"] == before["template"]


@pytest.mark.parametrize(("method", "payload"), [("kill", signal.SIGKILL), ("segfault", None), ("quits", 0)])
async def test_a_call_that_ends_its_server_is_lost_and_the_next_is_answered(
    worker: Worker, method: str, payload: Any
) -> None:
    with pytest.raises(WorkerLost):
        await worker.client.call(method, payload, deadline_s=10)
    await who(worker, within=BACK_S)


async def test_poison_again_and_again_does_not_slow_the_restarts_down(worker: Worker) -> None:
    for _ in range(20):
        with pytest.raises(WorkerLost):
            await worker.client.call("segfault", None, deadline_s=10)
        await who(worker, within=BACK_S)
    assert [e["reason"] for e in await restarts(worker, 20)] == ["SIGSEGV"] * 20


async def test_a_call_that_will_not_be_cancelled_is_killed(worker: Worker) -> None:
    before = await who(worker)
    with pytest.raises(WorkerTimeout):
        await worker.client.call("stubborn", 60, deadline_s=0.2)
    assert (await restarts(worker, 1))[0]["reason"] == "stubborn"
    assert (await who(worker))["pid"] != before["pid"]


async def test_a_loop_that_stands_still_with_no_call_in_hand_is_killed(worker: Worker) -> None:
    await worker.client.call("block_later", 60, deadline_s=5)
    assert (await restarts(worker, 1))[0]["reason"] == "silent"
    await who(worker)


async def test_a_slow_call_within_its_deadline_is_left_alone(worker: Worker) -> None:
    before = await who(worker)
    assert await worker.client.call("block", 2.0, deadline_s=30) == "blocked"
    assert (await who(worker))["pid"] == before["pid"]


async def test_many_short_calls_that_each_hold_the_loop_are_no_hang(worker: Worker) -> None:
    before = await who(worker)
    calls = [worker.client.call("block", 0.02, deadline_s=0.4) for _ in range(64)]
    ends = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(end) for end in ends} <= {str, WorkerTimeout}
    assert "blocked" in ends
    assert (await who(worker))["pid"] == before["pid"]


async def test_when_the_template_is_killed_both_are_replaced(worker: Worker) -> None:
    before = await who(worker)
    os.kill(before["template"], signal.SIGKILL)
    restart = (await restarts(worker, 1))[0]
    assert (await who(worker))["template"] != before["template"]
    assert not alive(before["pid"])
    assert restart["reason"] == "host killed by SIGKILL"
    assert restart["generation"] == 2


async def test_when_the_template_is_stopped_its_server_goes_on(worker: Worker) -> None:
    before = await who(worker)
    os.kill(before["template"], signal.SIGSTOP)
    try:
        assert (await who(worker))["pid"] == before["pid"]
        await asyncio.sleep(0.8)
    finally:
        os.kill(before["template"], signal.SIGCONT)
    assert (await who(worker))["pid"] == before["pid"]


async def test_what_an_engine_started_goes_with_its_server(worker: Worker) -> None:
    child = await worker.client.call("child", None, deadline_s=10)
    with pytest.raises(WorkerLost):
        await worker.client.call("kill", signal.SIGKILL, deadline_s=10)
    await who(worker)
    for _ in range(100):
        if not alive(child):
            break
        await asyncio.sleep(0.02)
    assert not alive(child)


async def test_kills_leave_no_zombie_and_no_descriptor_behind(worker: Worker) -> None:
    template = (await who(worker))["template"]
    with pytest.raises(WorkerLost):
        await worker.client.call("segfault", None, deadline_s=10)
    await who(worker)
    ours, its = descriptors(os.getpid()), descriptors(template)
    for _ in range(10):
        with pytest.raises(WorkerLost):
            await worker.client.call("segfault", None, deadline_s=10)
        await who(worker)
    assert descriptors(template) == its
    assert descriptors(os.getpid()) == ours
    assert len(children(template)) == 1


async def test_under_a_hail_of_kills_each_call_ends_in_time_and_all_later_ones_succeed(worker: Worker) -> None:
    dice = random.Random(7)
    faults: list[tuple[str, Any]] = [("block", 60), ("segfault", None), ("kill", signal.SIGSTOP), ("quits", 1)]

    async def one(number: int) -> tuple[str, float]:
        await asyncio.sleep(dice.random() * 3)
        method, payload = dice.choice(faults) if number % 20 == 0 else ("echo", number)
        started = time.monotonic()
        try:
            await worker.client.call(method, payload, deadline_s=1.0)
        except WorkerError:
            return method, time.monotonic() - started
        return "answered", time.monotonic() - started

    ends = await asyncio.gather(*(one(n) for n in range(200)))
    assert max(seconds for _, seconds in ends) < 1.0 + LATE_S
    assert sum(end == "answered" for end, _ in ends) > 100
    await who(worker)
    later = await asyncio.gather(*(worker.client.call("echo", n, deadline_s=10) for n in range(200)))
    assert later == list(range(200))


async def who(worker: Worker, within: float = 10) -> dict[str, int]:
    told: dict[str, int] = await worker.client.call("who", None, deadline_s=within)
    return told


async def made(mark: Path) -> None:
    for _ in range(500):
        if mark.exists():  # noqa: ASYNC240 - one stat of a local file
            return
        await asyncio.sleep(0.01)


async def restarts(worker: Worker, count: int) -> list[Any]:
    for _ in range(500):
        if len(told := worker.told("worker.restarted")) >= count:
            return told
        await asyncio.sleep(0.02)
    raise AssertionError(worker.events)


async def lag(seconds: float) -> float:
    """The longest that this loop was away, over so many seconds."""
    worst, until = 0.0, time.monotonic() + seconds
    while (before := time.monotonic()) < until:
        await asyncio.sleep(0.005)
        worst = max(worst, time.monotonic() - before - 0.005)
    return worst


def alive(pid: int) -> bool:
    """Running, that is: neither gone nor waiting to be reaped."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    return False


def children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))
