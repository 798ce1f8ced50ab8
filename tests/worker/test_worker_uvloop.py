"""HTTP workers run on uvloop, so what they hold must too."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

import pytest
import uvloop
from support.workers import started

from gateway.errors import WorkerLost, WorkerTimeout
from gateway.worker.supervisor import Host

pytestmark = pytest.mark.engine


def test_clients_and_supervisors_run_on_uvloop_as_well(host: Callable[..., Host]) -> None:
    async def scenario() -> None:
        async with started(host()) as worker:
            client = worker.client
            answers = await asyncio.gather(*(client.call("echo", n, deadline_s=20) for n in range(200)))
            assert answers == list(range(200))
            assert await client.call("echo", "x" * 3_000_000, deadline_s=20) == "x" * 3_000_000
            with pytest.raises(WorkerTimeout):
                await client.call("block", 60, deadline_s=0.2)
            with pytest.raises(WorkerLost):
                await client.call("kill", signal.SIGKILL, deadline_s=10)
            assert [n async for n in client.stream("any", {"count": 200}, deadline_s=20)] == list(range(200))

    uvloop.run(scenario())
