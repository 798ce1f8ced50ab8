"""Whatever an upstream does wrong, `Direct` ends in the right error, in time, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import gzip
import os
import ssl
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvloop
from pydantic import SecretStr
from support.answers import DONE, JSON, SSE, answer, completion, deltas, opened, sent
from support.script import Close, Hang, Reset, Script, Send, Step, chunk, head, pieces
from support.scripted import refusing, scripted

from gateway.config.schema import OpenAISpec, Timeouts
from gateway.errors import TidegateError, UpstreamBroken, UpstreamTimeout, UpstreamUnreachable
from gateway.upstream import Ask
from gateway.upstream.direct import Direct
from gateway.upstream.pool import open_pool

TRUST = ssl.create_default_context()  # reading the platform's certificates takes 10 ms
KEY = "sk-secret-4f2a"
TIMEOUTS = Timeouts(connect_s=0.6, first_byte_s=0.6, idle_s=0.4, total_s=1.2)
DEADLINE = 1.2
SLACK = 3.0  # the promise is 0.25 s on a quiet machine; bench/direct.py measures it, here machines are shared

BODY = b'{"id":"x","choices":[]}'
EVENTS = deltas(["one ", "two"])
CHUNKED = [SSE, ("transfer-encoding", "chunked")]


@dataclass(frozen=True)
class Fault:
    script: Script
    error: type[TidegateError] | None  # None: no fault of the transport, the answer is passed on
    status: int = 0
    body: bytes | None = None
    kept: int = 0  # connections afterwards: an answer that is whole leaves its connection fit, whatever it says


def raw(*parts: bytes | Step) -> Script:
    return Script(tuple(Send(part) if isinstance(part, bytes) else part for part in parts))


def sized(data: bytes, size: int, *then: Step, status: int = 200) -> Script:
    return raw(head(status, [JSON, ("content-length", str(size))]) + data, *then)


def encoded(data: bytes, encoding: str = "gzip") -> Script:
    return answer(data, 200, [JSON, ("content-encoding", encoding)])


FAULTS: dict[str, Fault] = {
    # before an answer
    "reset on accept": Fault(Script((Reset(),), on="accept"), UpstreamUnreachable),
    "closed on accept": Fault(Script((Close(),), on="accept"), UpstreamUnreachable),
    "reset after the request": Fault(raw(Reset()), UpstreamUnreachable),
    "closed after the request": Fault(raw(Close()), UpstreamUnreachable),
    "reset before the request's body": Fault(Script((Reset(),), on="head"), UpstreamUnreachable),
    "never answers": Fault(raw(Hang()), UpstreamTimeout),
    "half a status line, then silence": Fault(raw(b"HTTP/1.1 20", Hang()), UpstreamTimeout),
    "half a head, then the end": Fault(raw(b"HTTP/1.1 200 OK\r\ncontent-le", Close()), UpstreamBroken),
    "half a head, then a reset": Fault(raw(b"HTTP/1.1 200 OK\r\ncontent-le", Reset()), UpstreamBroken),
    "head trickles": Fault(raw(*pieces(head(200, [JSON]), 1, 0.1)), UpstreamTimeout),
    # what is not HTTP
    "garbage": Fault(raw(b"garbage\r\n\r\n", Hang()), UpstreamBroken),
    "a TLS alert": Fault(raw(b"\x15\x03\x01\x00\x02\x02\x46", Close()), UpstreamBroken),
    "HTTP/2's preface": Fault(raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Close()), UpstreamBroken),
    "HTTP/0.9": Fault(raw(BODY, Close()), UpstreamBroken),
    "a header of a megabyte": Fault(raw(head(200, [("x", "y" * 1_000_000)]), Close()), UpstreamBroken),
    "a thousand headers": Fault(raw(head(200, [(f"x{n}", "y") for n in range(1000)]), Close()), UpstreamBroken),
    "two lengths": Fault(raw(head(200, [("content-length", "3"), ("content-length", "4")]) + b"abcd"), UpstreamBroken),
    "a negative length": Fault(raw(head(200, [("content-length", "-3")]) + b"abcd"), UpstreamBroken),
    "length and chunks": Fault(
        raw(head(200, [*CHUNKED, ("content-length", "3")]) + chunk(b"abcdef") + chunk(b"")), UpstreamBroken
    ),
    "a broken header line": Fault(raw(b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", Close()), UpstreamBroken),
    "switching protocols": Fault(raw(head(101, [("upgrade", "x"), ("connection", "upgrade")]), Hang()), UpstreamBroken),
    "endless interim answers": Fault(raw(head(103, [("link", "x")]) * 5_000, Hang()), UpstreamBroken),
    # in the middle of an answer
    "head, then silence": Fault(sized(b"", 10, Hang()), UpstreamTimeout),
    "silence in the body": Fault(sized(b"abc", 10, Hang()), UpstreamTimeout),
    "body trickles past the total": Fault(sized(b"", 900, *pieces(b"x" * 900, 1, 0.05)), UpstreamTimeout),
    "reset in the body": Fault(sized(b"abc", 10, Reset()), UpstreamBroken),
    "end before the length": Fault(sized(b"abc", 10, Close()), UpstreamBroken),
    "end between chunks": Fault(raw(*opened(), *sent(EVENTS[:2]), Close()), UpstreamBroken),
    "end in a chunk": Fault(raw(*opened(), b"ff\r\nabc", Close()), UpstreamBroken),
    "reset between chunks": Fault(raw(*opened(), *sent(EVENTS[:2]), Reset()), UpstreamBroken),
    "silence between chunks": Fault(raw(*opened(), *sent(EVENTS[:2]), Hang()), UpstreamTimeout),
    "silence before the last chunk": Fault(raw(*opened(), *sent(EVENTS), Hang()), UpstreamTimeout),
    "a bad chunk size": Fault(raw(*opened(), b"zz\r\nabc\r\n", Hang()), UpstreamBroken),
    "a negative chunk size": Fault(raw(*opened(), b"-1\r\n\r\n", Hang()), UpstreamBroken),
    "a chunk without its end": Fault(raw(*opened(), b"3\r\nabcXX", Hang()), UpstreamBroken),
    # encodings that nobody asked for
    "gzip that is none": Fault(encoded(BODY), UpstreamBroken, kept=1),
    "gzip cut off": Fault(encoded(gzip.compress(os.urandom(600))[:-40]), UpstreamBroken, kept=1),
    "gzip with a tail": Fault(encoded(gzip.compress(BODY) + b"tail"), UpstreamBroken, kept=1),
    "a gzip bomb": Fault(encoded(gzip.compress(bytes(80 << 20))), UpstreamBroken, kept=1),
    "brotli": Fault(encoded(b"\x0b\x02\x80{}\x03", "br"), UpstreamBroken),
    "an encoding of nobody's": Fault(encoded(BODY, "snappy"), UpstreamBroken),
    "gzip": Fault(encoded(gzip.compress(BODY)), None, 200, BODY),
    # answers that are whole, whatever they say
    "redirect": Fault(answer(b"", 307, [("location", "http://127.0.0.1:9/")]), None, 307, b""),
    "no content": Fault(raw(head(204)), None, 204, b""),
    "interim answers first": Fault(
        raw(head(103, [("link", "x")]) * 3 + head(200, [("content-length", "2")]) + b"ok"), None, 200, b"ok"
    ),
    "empty": Fault(answer(b""), None, 200, b""),
    "HTML": Fault(answer("<html>down</html>", 502, [("content-type", "text/html")]), None, 502, b"<html>down</html>"),
    "rate limited": Fault(answer(b"{}", 429, [JSON, ("retry-after", "7")]), None, 429, b"{}"),
    "overloaded": Fault(answer(BODY, 529), None, 529, BODY),
    "half a megabyte of error": Fault(answer(b"e" * 500_000, 500), None, 500, b"e" * 500_000),
    "more than was promised": Fault(sized(BODY + b"more", len(BODY), Hang()), None, 200, BODY),
    "an answer before the request's body": Fault(
        Script(sized(b"{}", 2, status=413).steps, on="head"), None, 413, b"{}"
    ),
    "a trailer": Fault(raw(*opened(), chunk(BODY) + b"0\r\nx-sum: 1\r\n\r\n"), None, 200, BODY),
    "HTTP/1.0, whole by its length": Fault(
        raw(b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\n{}", Close()), None, 200, b"{}"
    ),
}  # fmt: skip

ONLY: dict[tuple[str, bool], Fault] = {
    # a body that only the connection's end ends: a stream must say its own end
    ("unframed, with an end", True): Fault(
        raw(head(200, [SSE]) + b"".join(EVENTS), Close()), None, 200, b"".join(EVENTS)
    ),
    ("unframed, without an end", True): Fault(raw(head(200, [SSE]) + b"".join(EVENTS[:2]), Close()), UpstreamBroken),
    ("unframed, then a reset", True): Fault(raw(head(200, [SSE]) + b"".join(EVENTS[:2]), Reset()), UpstreamBroken),
    ("unframed", False): Fault(raw(head(200, [JSON]) + BODY, Close()), None, 200, BODY),
    ("unframed, then a reset", False): Fault(raw(head(200, [JSON]) + BODY, Reset()), UpstreamBroken),
}  # fmt: skip

CASES = [(name, stream, fault) for name, fault in FAULTS.items() for stream in (False, True)]
CASES += [(name, stream, fault) for (name, stream), fault in ONLY.items()]


def spec(base_url: str) -> OpenAISpec:
    return OpenAISpec(name="far", kind="openai", base_url=base_url, api_key=SecretStr(KEY), timeouts=TIMEOUTS)


def ask(stream: bool, body: bytes = b'{"model":"m","messages":[]}') -> Ask:
    return Ask("/chat/completions", body, stream)


async def answered(direct: Direct, asked: Ask) -> tuple[int, bytes]:
    async with direct.send(asked) as reply:
        return reply.status, b"".join([part async for part in reply.chunks])


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def settled(count: Callable[[], int], at_most: int) -> None:
    """Wait until `count` is down again; closing takes a turn of the loop."""
    async with asyncio.timeout(5):
        while count() > at_most:  # noqa: ASYNC110  the kernel tells nobody
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(("name", "stream", "fault"), CASES, ids=[f"{n}{'+stream' * s}" for n, s, _ in CASES])
async def test_a_fault_ends_in_its_error_in_time(name: str, stream: bool, fault: Fault) -> None:
    files, tasks = open_files(), len(asyncio.all_tasks())
    await suffered(stream, fault)
    await settled(open_files, files)
    assert len(asyncio.all_tasks()) == tasks


def test_every_fault_ends_the_same_on_the_loop_that_serves() -> None:
    async def some(cases: Sequence[tuple[str, bool, Fault]]) -> None:
        async with asyncio.TaskGroup() as group:
            for _, stream, fault in cases:
                group.create_task(suffered(stream, fault))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for at in range(0, len(CASES), 10):
            runner.run(some(CASES[at : at + 10]))


async def suffered(stream: bool, fault: Fault) -> None:
    async with scripted() as server, open_pool(TRUST) as pool:
        server.play(fault.script)
        direct = Direct(spec(server.base_url), pool)
        began = time.monotonic()
        if fault.error:
            with pytest.raises(TidegateError) as caught:
                await answered(direct, ask(stream))
            assert type(caught.value) is fault.error
            assert "far" in str(caught.value)
            assert KEY not in "".join(traceback.format_exception(caught.value)) + repr(direct)
            await settled(lambda: len(server.transports), fault.kept)
        else:
            assert await answered(direct, ask(stream)) == (fault.status, fault.body)
        assert time.monotonic() - began < DEADLINE + SLACK
        assert server.accepted == 1  # nothing is asked twice
        assert await answered(direct, ask(False)) == (200, answered_whole())  # and the next request is as good as ever


def answered_whole() -> bytes:
    script = answer(completion("", model="m"))
    assert isinstance(script.steps[0], Send)
    return script.steps[0].data.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_refused_connection_is_unreachable(stream: bool) -> None:
    with refusing() as url:
        async with open_pool() as pool:
            with pytest.raises(UpstreamUnreachable, match=r"far: .*refused"):
                await answered(Direct(spec(url), pool), ask(stream))


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b", "x" * 70])
async def test_a_name_without_an_address_is_unreachable(host: str) -> None:
    async with open_pool() as pool:
        with pytest.raises(UpstreamUnreachable):
            await answered(Direct(spec(f"http://{host}/v1"), pool), ask(False))


async def test_no_redirect_is_followed_and_no_key_travels() -> None:
    async with scripted() as server, scripted() as elsewhere, open_pool() as pool:
        server.play(answer(b"", 302, [("location", f"{elsewhere.base_url}/chat/completions")]))
        status, _ = await answered(Direct(spec(server.base_url), pool), ask(False))
        assert status == 302
        assert not elsewhere.accepted


async def test_an_answer_over_the_limit_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.upstream.direct.BODY_BYTES", 1000)
    async with scripted() as server, open_pool() as pool:
        direct = Direct(spec(server.base_url), pool)
        server.play(answer(b"x" * 1000), answer(b"x" * 1001))
        assert await answered(direct, ask(False)) == (200, b"x" * 1000)
        with pytest.raises(UpstreamBroken, match="1000 bytes"):
            await answered(direct, ask(False))


async def test_a_stream_without_its_last_event_is_whole_when_it_is_framed() -> None:
    """Chunks that end properly are all the server wanted to say; what it means is for the decoder to judge."""
    async with scripted() as server, open_pool() as pool:
        events = b"".join(EVENTS).removesuffix(DONE)
        server.play(raw(*opened(), chunk(events), chunk(b"")))
        assert await answered(Direct(spec(server.base_url), pool), ask(True)) == (200, events)
