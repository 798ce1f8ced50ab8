"""Faults that take more than a script or a few bytes, each with how it must end."""

from __future__ import annotations

import asyncio
import resource
import socket
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import orjson
from faults.entry import ASK, BODY, HOST, JSON, SIZED, head, whole
from faults.wire import said
from support.answers import DONE, answer, completion, deltas, opened, sent, stream
from support.script import Close, Script, Send, Wait, chunk
from support.scripted import scripted

if TYPE_CHECKING:
    from faults.stand import Stand

STREAMED = orjson.dumps({**ASK, "stream": True})
MANY = 200


def naming(model: str) -> bytes:
    return whole(body=orjson.dumps({**ASK, "model": model}))


async def failed(stand: Stand, model: str, status: int, code: str) -> None:
    heard = await stand.say(naming(model))
    heard.well_formed()
    assert (heard.status, heard.error()["code"]) == (status, code)


# Upstreams


async def refused(stand: Stand) -> None:
    await failed(stand, "dead", 502, "upstream_unreachable")
    assert (await stand.say(naming("second"))).status == 200


async def nameless(stand: Stand) -> None:
    await failed(stand, "nowhere", 502, "upstream_unreachable")


async def redirected(stand: Stand) -> None:
    """Nobody is asked elsewhere, whichever way it is said."""
    async with scripted() as elsewhere:
        for status in (301, 302, 303, 307, 308):
            stand.model.play(answer(b"", status, [("location", f"{elsewhere.base_url}/chat/completions")]))
            heard = await stand.say(whole())
            assert (heard.status, heard.error()["code"]) == (502, "upstream_broken")
            assert "location" not in heard.headers
        assert not elsewhere.accepted


OURS = {
    "date",
    "content-type",
    "content-length",
    "x-request-id",
    "x-tidegate-verdict",
    "x-tidegate-overhead-ms",
    "retry-after",
    "openai-processing-ms",
    "openai-version",
}


async def answers_hygiene(stand: Stand) -> None:
    """What an upstream says of itself, of cookies and of the connection stays here."""
    theirs = [
        *(("set-cookie", "a=b"), ("server", "theirs"), ("via", "1.1 theirs"), ("www-authenticate", "Bearer")),
        *(("x-ratelimit-limit-requests", "1"), ("access-control-allow-origin", "*"), ("x-request-id", "theirs")),
        *(("keep-alive", "timeout=5"), ("x-tidegate-verdict", "block"), ("openai-processing-ms", "12")),
    ]
    stand.model.play(answer(completion("a", "m"), 200, [("content-type", "text/html"), *theirs]))
    heard = await stand.say(whole())
    assert set(heard.headers) <= OURS
    assert "theirs" not in str(heard.headers)
    assert heard.headers["openai-processing-ms"] == "12"
    assert heard.headers["content-type"] == "application/json"


async def kept_closed(stand: Stand) -> None:
    """The upstream closes while its connection rests; the next request goes out once, on another."""
    stand.model.play(Script((*answer(completion("a", "m")).steps, Wait(0.05), Close())))
    assert (await stand.say(whole())).status == 200
    await asyncio.sleep(0.1)
    assert (await stand.say(whole())).status == 200
    assert len(stand.model.seen) == 2


async def tripped(stand: Stand) -> None:
    """Two failures, then 503 without asking; after its rest a probe, and all is well."""
    stand.model.always(answer(b"{}", 500))
    for _ in range(2):
        assert (await stand.say(naming("tripping"))).status == 500
    asked = len(stand.model.seen)
    await failed(stand, "tripping", 503, "upstream_unavailable")
    assert len(stand.model.seen) == asked
    stand.model.always(answer(completion("a", "m")))
    async with asyncio.timeout(10):
        while (await stand.say(naming("tripping"))).status != 200:  # noqa: ASYNC110  its rest is over when it is
            await asyncio.sleep(0.1)


# Clients


async def left(stand: Stand) -> None:
    """Clients that go at each moment of an exchange leave nothing under way."""
    long = stream(deltas(["a"] * 40), delay=0.02)
    request = whole(body=STREAMED)
    stand.model.always(long)
    for sent_bytes, heard_bytes in ((b"", 0), (request[:40], 0), (request[:-9], 0), (request, 0), (request, 400)):
        reader, writer = await asyncio.open_connection("127.0.0.1", stand.port)
        writer.write(sent_bytes)
        await writer.drain()
        await reader.readexactly(heard_bytes)
        writer.close()


async def half_closed(stand: Stand) -> None:
    """A client that says no more and still listens may be taken for one that left; nothing hangs."""
    reader, writer = await asyncio.open_connection("127.0.0.1", stand.port)
    writer.write(whole())
    writer.write_eof()
    async with asyncio.timeout(5):
        heard = await reader.read()
    assert heard == b"" or b" 200 " in heard.split(b"\r\n")[0]
    writer.close()


async def unread(stand: Stand) -> None:
    """A client that does not read holds its upstream back; the gateway's memory stays as it was."""
    piece = chunk(b"".join(deltas(["a" * 4000])[1:2]) * 16)
    stand.model.play(Script((*opened(), *(Send(piece) for _ in range(600)), *sent([DONE]), Send(chunk(b"")))))
    before = stand.memory()
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", stand.port))
        slow.sendall(whole(body=STREAMED))
        await asyncio.sleep(1.0)
        assert stand.memory() - before < 16 << 20  # of 38 MiB


async def dripping(stand: Stand) -> None:
    """A request that comes a byte at a time is given up on."""
    heard = await said(stand.port, *(whole()[n : n + 1] for n in range(40)), pause_s=0.05)
    assert heard.status in {0, 408}


async def silent(stand: Stand) -> None:
    """Sockets that say nothing keep nobody from an answer, and are closed."""
    sockets = [await asyncio.open_connection("127.0.0.1", stand.port) for _ in range(MANY)]
    began = time.monotonic()
    answers = [await stand.say(whole()) for _ in range(20)]
    assert [heard.status for heard in answers] == [200] * 20
    assert time.monotonic() - began < 10
    for reader, writer in sockets:
        async with asyncio.timeout(10):
            assert await reader.read() == b""
        writer.close()


async def without_files(stand: Stand) -> None:
    """No descriptor left: whoever is there is answered, and everybody once there are some again."""
    kept = resource.prlimit(stand.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(stand.pid, resource.RLIMIT_NOFILE, (stand.files() + 4, kept[1]))
    try:
        sockets = [await asyncio.open_connection("127.0.0.1", stand.port) for _ in range(30)]
        await asyncio.sleep(0.3)
    finally:
        resource.prlimit(stand.pid, resource.RLIMIT_NOFILE, kept)
    for _, writer in sockets:
        writer.close()
    async with asyncio.timeout(10):
        while (await stand.say(whole())).status != 200:  # noqa: ASYNC110  the kernel tells nobody
            await asyncio.sleep(0.1)


async def come_and_gone(stand: Stand) -> None:
    """Connections opened and closed at once leave nothing."""
    for _ in range(20):
        await _together(50, lambda: _touched(stand.port))


async def _touched(port: int) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()


async def _together(count: int, make: Callable[[], Awaitable[None]]) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(make())  # type: ignore[arg-type]  # coroutines, all of them


async def twice(stand: Stand) -> None:
    """Two requests with one Idempotency-Key are two requests: nothing is promised, nothing is mixed up."""
    both = await asyncio.gather(*(stand.say(whole(b"Idempotency-Key: a")) for _ in range(2)))
    assert [heard.status for heard in both] == [200, 200]
    assert both[0].headers["x-request-id"] != both[1].headers["x-request-id"]
    assert len(stand.model.seen) == 2


async def strangers(stand: Stand) -> None:
    """A flood of keys that nobody has: 401 each, nobody is asked, one record each, none with the key in it."""
    before = len(stand.site.events("exchange.completed"))
    for at in range(0, 100, 20):
        lines = (
            head(b"Host: a", JSON, SIZED, b"Authorization: Bearer sk-canary-%d" % (at + n)) + BODY for n in range(20)
        )
        heard = await asyncio.gather(*map(stand.say, lines))
        assert {each.status for each in heard} == {401}
    assert not stand.model.seen
    assert len(stand.site.events("exchange.completed")) - before == 100
    assert not await stand.leaks()


async def blocked(stand: Stand) -> None:
    """A burst of refused requests writes as much as any other: an intent, an outcome, a line each at most."""
    before, said_before = len(stand.site.events()), len(stand.gateway.said)
    request = whole(body=orjson.dumps({**ASK, "messages": [{"role": "user", "content": "forbidden"}]}))
    for _ in range(5):
        heard = await asyncio.gather(*(stand.say(request) for _ in range(20)))
        assert {each.status for each in heard} == {400}
    assert not stand.model.seen
    assert len(stand.site.events()) - before <= 300
    assert len(stand.gateway.said) == said_before


async def hung(stand: Stand) -> None:
    """A request whose body stops is told so in time; its connection is closed."""
    heard = await said(stand.port, head(HOST, JSON, SIZED) + BODY[:9])
    assert heard.status == 408
    heard.well_formed()
