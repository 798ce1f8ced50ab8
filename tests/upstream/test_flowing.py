"""A body that is poured out: every byte of it, in time, and no task woken in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from support.answers import SSE, opened, sent, stream
from support.script import Close, Hang, Script, Send, Wait, head
from support.scripted import Server, scripted

from gateway.config.schema import OpenAISpec, Timeouts
from gateway.errors import UpstreamBroken, UpstreamError, UpstreamTimeout
from gateway.upstream import Ask, Flowing, Reply
from gateway.upstream.direct import Direct
from gateway.upstream.pool import Pool, open_pool

PARTS = [b"data: %d\n\n" % n for n in range(12)]
ASK = Ask("/chat/completions", b"{}", stream=True)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with scripted() as made:
        yield made


@pytest.fixture
async def pool() -> AsyncIterator[Pool]:
    async with open_pool() as made:
        yield made


def direct(server: Server, pool: Pool, idle_s: float = 5.0, total_s: float = 30.0) -> Direct:
    timeouts = Timeouts(connect_s=5.0, first_byte_s=5.0, idle_s=idle_s, total_s=total_s)
    return Direct(OpenAISpec(name="up", kind="openai", base_url=server.base_url, timeouts=timeouts), pool)


class Kept(list[bytes]):
    """A sink that keeps what it is given, and wants more until it says not."""

    def __init__(self, most: int = 1 << 30) -> None:
        super().__init__()
        self.most = most

    def __call__(self, piece: bytes) -> bool:
        self.append(piece)
        return len(self) % self.most > 0


def flowing(reply: Reply) -> Flowing:
    assert isinstance(reply.chunks, Flowing)
    return reply.chunks


async def test_all_of_it_is_poured_and_the_connection_used_again(server: Server, pool: Pool) -> None:
    up = direct(server, pool)
    for _ in range(2):
        server.play(stream(PARTS, delay=0.005))
        got = Kept()
        async with up.send(ASK) as reply:
            assert not await flowing(reply).flow(got)
            assert not await flowing(reply).flow(got)
        assert b"".join(got) == b"".join(PARTS)
        assert len(got) > 1
    assert server.accepted == 1


async def test_who_wants_no_more_can_read_the_rest(server: Server, pool: Pool) -> None:
    server.play(stream(PARTS, delay=0.005))
    got = Kept(3)
    async with direct(server, pool).send(ASK) as reply:
        while await flowing(reply).flow(got):
            got.append(await anext(reply.chunks, b""))
    assert b"".join(got) == b"".join(PARTS)


async def test_what_the_sink_raises_is_raised_to_who_waits_and_the_rest_is_not_poured(
    server: Server, pool: Pool
) -> None:
    server.play(Script((*opened(), *sent(PARTS, 0.005), Hang())))
    got = list[bytes]()

    def sink(piece: bytes) -> bool:
        got.append(piece)
        if len(got) == 3:
            raise KeyError("three")
        return True

    with pytest.raises(KeyError):
        async with direct(server, pool).send(ASK) as reply:
            await flowing(reply).flow(sink)
    await asyncio.wait_for((await server.saw()).gone.wait(), 5)
    assert len(got) == 3


async def test_a_pause_that_is_too_long_ends_it_however_long_it_has_flowed(server: Server, pool: Pool) -> None:
    server.play(Script((*opened(), *sent(PARTS, 0.1), Hang())))
    got = Kept()
    began = asyncio.get_running_loop().time()
    with pytest.raises(UpstreamTimeout, match="stopped in the middle"):
        async with direct(server, pool, idle_s=0.4).send(ASK) as reply:
            await flowing(reply).flow(got)
    assert b"".join(got) == b"".join(PARTS)
    assert 1.4 <= asyncio.get_running_loop().time() - began < 5


async def test_all_of_it_has_its_time_too(server: Server, pool: Pool) -> None:
    server.play(Script((*opened(), *sent(PARTS * 20, 0.05), Hang())))
    got = Kept()
    with pytest.raises(UpstreamTimeout):
        async with direct(server, pool, total_s=0.5).send(ASK) as reply:
            await flowing(reply).flow(got)
    assert 0 < len(got) < 100


@pytest.mark.parametrize("ending", [(Close(),), (Send(b"zz\r\n"), Hang())])
async def test_a_body_that_is_cut_off_is_told(
    server: Server, pool: Pool, ending: tuple[Send | Close | Hang, ...]
) -> None:
    server.play(Script((*opened(), *sent(PARTS[:3], 0.005), *ending)))
    got = Kept()
    with pytest.raises(UpstreamBroken):
        async with direct(server, pool).send(ASK) as reply:
            await flowing(reply).flow(got)
    assert b"".join(got) == b"".join(PARTS[:3])


@pytest.mark.parametrize("last", [b"data: [DONE]\n\n", b""])
async def test_where_nothing_else_tells_the_end_the_last_event_does(server: Server, pool: Pool, last: bytes) -> None:
    whole = Script((Send(head(200, [SSE])), *(Send(part) for part in PARTS), Wait(0.01), Send(last or b"\n"), Close()))
    server.play(whole)
    got = Kept()
    fault: UpstreamError | None = None
    try:
        async with direct(server, pool).send(ASK) as reply:
            await flowing(reply).flow(got)
    except UpstreamBroken as error:
        fault = error
    assert b"".join(got) == b"".join(PARTS) + (last or b"\n")
    assert (fault is None) is bool(last)


async def test_a_task_that_is_cancelled_hears_no_more(server: Server, pool: Pool) -> None:
    server.play(Script((*opened(), *sent(PARTS * 20, 0.005), Hang())))
    got = Kept()

    async def asking() -> None:
        async with direct(server, pool).send(ASK) as reply:
            await flowing(reply).flow(got)

    task = asyncio.create_task(asking())
    async with asyncio.timeout(5):
        while len(got) < 3:  # noqa: ASYNC110 - another task's doing
            await asyncio.sleep(0.005)
    task.cancel()
    count = len(got)
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for((await server.saw()).gone.wait(), 5)
    assert len(got) == count
