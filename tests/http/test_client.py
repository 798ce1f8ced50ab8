"""Doing work only while the client is there, told apart from being stopped by somebody else."""

from __future__ import annotations

import asyncio

import pytest
from starlette.types import Message

from gateway.http.client import while_there


class Wire:
    """ASGI's `receive`: says nothing until the client leaves, or breaks."""

    def __init__(self, broken: bool = False) -> None:
        self.gone = asyncio.Event()
        self.broken = broken

    async def __call__(self) -> Message:
        await self.gone.wait()
        if self.broken:
            raise ConnectionError
        return {"type": "http.disconnect"}


class Work:
    def __init__(self) -> None:
        self.begun, self.may_end = asyncio.Event(), asyncio.Event()
        self.cancelled = self.ended = False

    async def __call__(self) -> None:
        self.begun.set()
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        self.ended = True


async def test_a_client_that_leaves_cancels_the_work_and_that_is_all() -> None:
    wire, work = Wire(), Work()
    task = asyncio.create_task(while_there(work(), wire))
    await work.begun.wait()
    wire.gone.set()
    async with asyncio.timeout(10):
        await task
    assert work.cancelled
    assert len(asyncio.all_tasks()) == 1


async def test_work_that_ends_first_leaves_nobody_watching() -> None:
    wire, work = Wire(), Work()
    work.may_end.set()
    await while_there(work(), wire)
    await asyncio.sleep(0)
    assert work.ended
    assert len(asyncio.all_tasks()) == 1


async def test_a_server_that_stops_the_task_sees_it_stopped() -> None:
    wire, work = Wire(), Work()
    task = asyncio.create_task(while_there(work(), wire))
    await work.begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert work.cancelled


async def test_a_server_that_stops_the_task_as_the_client_leaves_sees_it_stopped() -> None:
    wire, work = Wire(), Work()
    task = asyncio.create_task(while_there(work(), wire))
    await work.begun.wait()
    wire.gone.set()
    await asyncio.sleep(0)  # the watch is told, and cancels
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_wire_that_breaks_does_not_end_the_work() -> None:
    wire, work = Wire(broken=True), Work()
    task = asyncio.create_task(while_there(work(), wire))
    await work.begun.wait()
    wire.gone.set()
    await asyncio.sleep(0.01)
    assert not work.cancelled
    work.may_end.set()
    async with asyncio.timeout(10):
        await task
    assert work.ended


async def test_what_the_work_raises_is_raised() -> None:
    async def failing() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        await while_there(failing(), Wire())
