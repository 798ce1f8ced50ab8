"""Clients that leave, stop reading, or are left: the upstream is let go at once, a record stays, nothing else does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from support.answers import DONE, delta, event, opened, sent, stream
from support.fronts import Front, front, spec
from support.rails import Doing, bound, policy
from support.script import Hang, Script, Seen, Send, chunk
from support.scripted import Server, scripted

from gateway.config.schema import Timeouts
from gateway.policy.rail import Subject
from gateway.policy.verdict import Verdict

ASK: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "12345678"}]}
PATIENT = Timeouts(first_byte_s=60, idle_s=60)
HELLO = event(delta("12345678"))


@pytest.fixture
async def upstream() -> AsyncIterator[Server]:
    async with scripted() as server:
        yield server


@pytest.fixture
async def gateway(upstream: Server, tmp_path: Path) -> AsyncIterator[Front]:
    specs = [spec(upstream.base_url, timeouts=PATIENT)]
    async with front(tmp_path, specs, {"default": policy()}) as made:
        yield made


def request(body: dict[str, Any]) -> bytes:
    raw = orjson.dumps(body)
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    return head + b"content-length: %d\r\n\r\n%b" % (len(raw), raw)


class Visitor:
    """A client down to its socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def come(cls, gateway: Front, raw: bytes) -> Visitor:
        port = int(gateway.url.rsplit(":", 1)[1])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(raw)
        await writer.drain()
        return cls(reader, writer)

    async def read_until(self, what: bytes) -> bytes:
        async with asyncio.timeout(10):
            return await self.reader.readuntil(what)

    async def leave(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()

    def vanish(self) -> None:
        self.writer.transport.abort()


async def gone(seen: Seen) -> None:
    """The upstream's connection is closed, and soon."""
    async with asyncio.timeout(5):
        await seen.gone.wait()


# Leaving


@pytest.mark.parametrize("how", ["leave", "vanish"])
async def test_a_client_that_leaves_a_stream_closes_the_upstream_and_is_recorded(
    gateway: Front, upstream: Server, how: str
) -> None:
    upstream.play(Script((*opened(), *sent([HELLO]), Hang())))
    visitor = await Visitor.come(gateway, request({**ASK, "stream": True}))
    await visitor.read_until(HELLO)
    await visitor.leave() if how == "leave" else visitor.vanish()
    await gone(upstream.seen[0])
    record = await gateway.record()
    assert (record["outcome"], record["error"], record["status"]) == ("cancelled", "client_gone", 200)
    assert (record["input_tokens"], record["output_tokens"], record["estimated_tokens"]) == (2, 2, True)
    assert record["sent_bytes"] == len(HELLO)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_does_not_wait_for_the_answer_closes_the_upstream(
    gateway: Front, upstream: Server, stream: bool
) -> None:
    upstream.play(Script((Hang(),)))
    visitor = await Visitor.come(gateway, request({**ASK, "stream": stream}))
    seen = await upstream.saw()
    await visitor.leave()
    await gone(seen)
    record = await gateway.record()
    assert (record["outcome"], record["status"], record["tried"]) == ("cancelled", 0, ["up"])
    assert (record["input_tokens"], record["output_tokens"]) == (2, 0)


async def test_a_client_that_leaves_while_it_is_judged_reaches_no_upstream(upstream: Server, tmp_path: Path) -> None:
    judging = asyncio.Event()

    async def forever(_: Subject) -> list[Verdict]:
        judging.set()
        await asyncio.Event().wait()
        return []

    rail = Doing("slow", forever)
    async with front(tmp_path, [upstream.base_url], {"default": policy(inward=[bound(rail)])}) as gateway:
        visitor = await Visitor.come(gateway, request(ASK))
        async with asyncio.timeout(10):
            await judging.wait()
        await visitor.leave()
        record = await gateway.record()
    assert (record["outcome"], rail.cancelled, upstream.seen) == ("cancelled", 1, [])
    assert record["input_tokens"] == 0


async def test_a_client_that_leaves_before_its_request_is_whole_is_recorded(gateway: Front, upstream: Server) -> None:
    visitor = await Visitor.come(gateway, request(ASK)[:-5])
    await asyncio.sleep(0.05)
    await visitor.leave()
    record = await gateway.record()
    assert (record["outcome"], record["error"], record["status"]) == ("cancelled", "client_gone", 0)
    assert upstream.seen == []


async def test_a_client_that_leaves_with_done_in_hand_has_had_its_answer(gateway: Front, upstream: Server) -> None:
    """The upstream keeps the body open, so the gateway is still at it when the client goes."""
    upstream.play(Script((*opened(), *sent([HELLO, event(delta(finish="stop")), DONE]), Hang())))
    visitor = await Visitor.come(gateway, request({**ASK, "stream": True}))
    await visitor.read_until(DONE)
    assert (await gateway.record())["outcome"] == "completed"
    await visitor.leave()
    await gone(upstream.seen[0])
    assert len(gateway.written()) == 1


async def test_an_upstream_that_never_closes_does_not_keep_the_client(gateway: Front, upstream: Server) -> None:
    upstream.play(Script((*opened(), *sent([HELLO, event(delta(finish="stop")), DONE]), Hang())))
    async with asyncio.timeout(10):
        answer = await gateway.ask({**ASK, "stream": True})
    assert answer.content.endswith(DONE)
    await gone(upstream.seen[0])


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_nothing_stays_of_those_who_left(gateway: Front, upstream: Server) -> None:
    upstream.always(Script((*opened(), *sent([HELLO]), Hang())))

    async def visit() -> None:
        visitor = await Visitor.come(gateway, request({**ASK, "stream": True}))
        await visitor.read_until(HELLO)
        visitor.vanish()

    await visit()
    await gateway.record(1)
    tasks, files = len(asyncio.all_tasks()), descriptors()
    for _ in range(4):
        await asyncio.gather(*(visit() for _ in range(25)))
    assert (await gateway.record(101))["outcome"] == "cancelled"
    async with asyncio.timeout(10):
        while len(upstream.transports) > 0 or len(asyncio.all_tasks()) > tasks:  # noqa: ASYNC110  closing takes the loop's time
            await asyncio.sleep(0.01)
    assert descriptors() <= files
    assert gateway.metrics.in_flight == 0


# Not reading


async def test_a_client_that_stops_reading_holds_the_upstream_back(gateway: Front, upstream: Server) -> None:
    part = event(delta("x" * 65_536))
    many = 500
    upstream.play(Script((*opened(), *(Send(chunk(part)) for _ in range(many)), *sent([DONE]), Send(chunk(b"")))))
    visitor = await Visitor.come(gateway, request({**ASK, "stream": True}))
    seen = await upstream.saw()
    await asyncio.sleep(1)
    assert not seen.played.is_set()  # 32 MiB that nobody reads are not taken in
    size, data = 0, b""
    async with asyncio.timeout(60):
        while DONE not in data:
            data = await visitor.reader.read(1 << 20)
            size += len(data)
    assert size > many * len(part)
    await visitor.leave()
    assert (await gateway.record())["outcome"] == "completed"


# Being left


async def test_a_server_that_is_stopped_lets_a_stream_end_first(upstream: Server, tmp_path: Path) -> None:
    parts = [HELLO, event(delta(finish="stop")), DONE]
    upstream.play(stream(parts, delay=0.3))
    async with front(tmp_path, [upstream.base_url], {"default": policy()}) as gateway:
        visitor = await Visitor.come(gateway, request({**ASK, "stream": True}))
        await visitor.read_until(HELLO)
        gateway.server.should_exit = True
        await visitor.read_until(DONE)
        assert (await gateway.record())["outcome"] == "completed"
        await visitor.leave()


async def test_a_server_that_cannot_wait_cancels_and_records(upstream: Server, tmp_path: Path) -> None:
    upstream.play(Script((*opened(), *sent([HELLO]), Hang())))
    specs = [spec(upstream.base_url, timeouts=PATIENT)]
    async with front(tmp_path, specs, {"default": policy()}) as gateway:
        gateway.server.config.timeout_graceful_shutdown = 1
        visitor = await Visitor.come(gateway, request({**ASK, "stream": True}))
        await visitor.read_until(HELLO)
        gateway.server.should_exit = True
        record = await gateway.record()
        await gone(upstream.seen[0])
        await visitor.leave()
    assert (record["outcome"], record["output_tokens"]) == ("cancelled", 2)
