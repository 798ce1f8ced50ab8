from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

import pytest
import pytest_asyncio
from support.workers import Start, Worker

from gateway.errors import WorkerFault, WorkerLost, WorkerTimeout
from gateway.worker.client import CREDIT, Client

pytestmark = pytest.mark.engine


@pytest_asyncio.fixture
async def worker(start: Start) -> AsyncIterator[Worker]:
    async with start() as one:
        yield one


async def test_items_come_in_order_and_all_of_them(worker: Worker) -> None:
    items = [item async for item in worker.client.stream("any", {"count": 1000}, deadline_s=5)]
    assert items == list(range(1000))


async def test_streams_and_calls_share_a_connection(worker: Worker) -> None:
    async def paced() -> list[int]:
        return [item async for item in worker.client.stream("paced", {"count": 20}, deadline_s=5)]

    *streams, answer = await asyncio.gather(*(paced() for _ in range(10)), worker.client.call("echo", 1, deadline_s=5))
    assert streams == [list(range(20))] * 10
    assert answer == 1


async def test_an_engine_runs_no_further_ahead_than_its_credit(worker: Worker) -> None:
    async with aclosing(worker.client.stream("any", {"count": 1000}, deadline_s=5)) as items:
        assert await anext(items) == 0
        await asyncio.sleep(0.2)
        log = await told(worker.client)
        assert f"item {CREDIT - 1}" in log
        assert f"item {CREDIT}" not in log
        assert "stream closed" not in log
        assert [await anext(items) for _ in range(999)] == list(range(1, 1000))


async def test_a_slow_reader_does_not_run_into_the_deadline(worker: Worker) -> None:
    got = []
    async for item in worker.client.stream("any", {"count": CREDIT + 2}, deadline_s=0.5):
        got.append(item)
        if item == 0:
            await asyncio.sleep(1)
    assert got == list(range(CREDIT + 2))


async def test_closing_the_generator_closes_the_engines(worker: Worker) -> None:
    async with aclosing(worker.client.stream("slow", {"count": 10}, deadline_s=60)) as items:
        assert await anext(items) == 0
    assert await closed(worker.client)
    assert (await worker.client.ping(deadline_s=5))["running"] == 0


async def test_a_client_that_goes_away_in_mid_stream_closes_the_engines_generator(worker: Worker) -> None:
    async with Client(worker.host.socket, name="other") as other:
        items = other.stream("any", {"count": 1000}, deadline_s=60)
        assert await anext(items) == 0
    assert await closed(worker.client)
    with pytest.raises(WorkerLost):
        [item async for item in items]


async def test_an_item_that_does_not_come_in_time_ends_the_stream(worker: Worker) -> None:
    got: list[int] = []
    with pytest.raises(WorkerTimeout):
        await collect(worker.client.stream("slow", {"count": 10}, deadline_s=0.3), got)
    assert got == [0, 1]
    assert await closed(worker.client)


async def test_what_came_before_an_error_is_handed_out_first(worker: Worker) -> None:
    got: list[int] = []
    with pytest.raises(WorkerFault, match="ValueError"):
        await collect(worker.client.stream("raises", {"count": 10}, deadline_s=5), got)
    assert got == [0, 1]


async def test_a_bad_payload_is_a_fault_of_the_stream(worker: Worker) -> None:
    with pytest.raises(WorkerFault, match="TypeError"):
        [item async for item in worker.client.stream("any", None, deadline_s=5)]


@pytest.mark.parametrize(("method", "error"), [("kill", WorkerLost), ("block", WorkerTimeout)])
async def test_a_stream_whose_server_dies_fails_and_the_next_one_works(
    worker: Worker, method: str, error: type[Exception]
) -> None:
    got: list[int] = []
    with pytest.raises(error):
        await collect(worker.client.stream(method, {"count": 10}, deadline_s=0.5), got)
    assert got == [0, 1]
    assert [item async for item in worker.client.stream("any", {"count": 3}, deadline_s=20)] == [0, 1, 2]


async def collect(items: AsyncGenerator[int, None], got: list[int]) -> None:
    async for item in items:
        got.append(item)
        await asyncio.sleep(0.01)


async def told(client: Client) -> list[str]:
    log: list[str] = await client.call("told", None, deadline_s=5)
    return log


async def closed(client: Client) -> bool:
    for _ in range(100):
        if "stream closed" in await told(client):
            return True
        await asyncio.sleep(0.02)
    return False
