"""What `Direct` sends, how it hands on what comes, and what it does with its connections."""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
from contextlib import aclosing
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from support.answers import SSE, answer, deltas, opened, sent, stream
from support.script import Close, Hang, Script, Send, Wait, chunk, head
from support.scripted import Server, scripted
from support.transport import Kept

from gateway import __version__
from gateway.config.schema import OpenAISpec, Timeouts
from gateway.errors import UpstreamTimeout, UpstreamUnreachable
from gateway.upstream import Ask
from gateway.upstream.connection import HIGH_WATER, Connection
from gateway.upstream.direct import Direct
from gateway.upstream.pool import IDLE_S, Origin, Pool, open_pool

BODY = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'


def spec(base_url: str, key: str | None = "sk-1", timeouts: Timeouts | None = None) -> OpenAISpec:
    secret = SecretStr(key) if key else None
    return OpenAISpec(name="far", kind="openai", base_url=base_url, api_key=secret, timeouts=timeouts or Timeouts())


async def said(direct: Direct, stream: bool = False, body: bytes = BODY) -> bytes:
    async with direct.send(Ask("/chat/completions", body, stream)) as reply:
        return b"".join([part async for part in reply.chunks])


async def test_the_request_is_exactly_this(server: Server, pool: Pool) -> None:
    ask = Ask("/chat/completions", BODY, stream=False, headers=(("traceparent", "00-aa-bb-01"),))
    async with Direct(spec(server.base_url), pool).send(ask) as reply:
        assert reply.status == 200
    assert (
        server.seen[0].raw
        == (
            b"POST /v1/chat/completions HTTP/1.1\r\n"
            b"host: 127.0.0.1:%d\r\n"
            b"user-agent: tidegate/%b\r\n"
            b"content-type: application/json\r\n"
            b"accept: application/json\r\n"
            b"accept-encoding: identity\r\n"
            b"authorization: Bearer sk-1\r\n"
            b"traceparent: 00-aa-bb-01\r\n"
            b"content-length: %d\r\n\r\n" % (server.port, __version__.encode(), len(BODY))
        )
        + BODY
    )


async def test_a_stream_accepts_events_and_no_key_means_no_authorization(server: Server, pool: Pool) -> None:
    await said(Direct(spec(server.base_url, key=None), pool), stream=True)
    assert server.seen[0].header("accept") == "text/event-stream"
    assert not server.seen[0].header("authorization")


@pytest.mark.parametrize("value", ["a\r\nx: y", "a\nx: y", "a\r\n\r\n"])
async def test_a_header_of_two_lines_is_refused(server: Server, pool: Pool, value: str) -> None:
    ask = Ask("/chat/completions", BODY, stream=False, headers=(("traceparent", value),))
    with pytest.raises(ValueError, match="one line"):
        async with Direct(spec(server.base_url), pool).send(ask):
            pass
    assert not server.seen


async def test_no_proxy_of_the_environment_is_asked(
    server: Server, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    await said(Direct(spec(server.base_url), pool))
    assert server.seen[0].target == "/v1/chat/completions"


async def test_chunks_come_as_they_are_sent(server: Server, pool: Pool) -> None:
    events = deltas(["one ", "two ", "three"])
    server.play(stream(events, delay=0.2))
    came = []
    async with Direct(spec(server.base_url), pool).send(Ask("/chat/completions", BODY, stream=True)) as reply:
        seen = await server.saw()
        async for part in reply.chunks:
            came.append((part, seen.played.is_set()))  # noqa: PERF401  what is true now is not true at the end
    assert [part for part, _ in came] == events
    assert not any(over for _, over in came[:-1])


async def test_the_head_comes_before_the_body(server: Server, pool: Pool) -> None:
    server.play(Script((*opened(), Hang())))
    async with Direct(spec(server.base_url), pool).send(Ask("/chat/completions", BODY, stream=False)) as reply:
        assert (reply.status, reply.header("content-type")) == (200, SSE[1])


async def test_a_stream_has_begun_only_with_its_first_byte(server: Server, pool: Pool) -> None:
    """Whoever hangs or breaks before it may still be passed over; a model may think for as long as `first_byte_s`."""
    quick = Timeouts(first_byte_s=0.4, idle_s=0.1)
    server.play(Script((*opened(), Hang())), Script((*opened(), Wait(0.2), *sent([b"data: x\n\n"]), Hang())))
    direct = Direct(spec(server.base_url, timeouts=quick), pool)
    with pytest.raises(UpstreamTimeout, match="did not begin"):
        async with direct.send(Ask("/chat/completions", BODY, stream=True)):
            pytest.fail("nothing came")
    async with direct.send(Ask("/chat/completions", BODY, stream=True)) as reply:
        assert await anext(reply.chunks) == b"data: x\n\n"


async def test_a_request_given_up_before_its_answer_closes_the_connection(server: Server, pool: Pool) -> None:
    server.play(Script((Hang(),)))
    asking = asyncio.create_task(said(Direct(spec(server.base_url), pool)))
    seen = await server.saw()
    asking.cancel()
    await asyncio.wait_for(seen.gone.wait(), 2)
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_leaving_in_the_middle_of_a_stream_closes_the_connection(server: Server, pool: Pool) -> None:
    server.play(Script((*opened(), *sent(deltas(["x"])[:1]), Hang())))
    direct = Direct(spec(server.base_url), pool)
    async with direct.send(Ask("/chat/completions", BODY, stream=True)) as reply, aclosing(reply.chunks):
        assert await anext(reply.chunks)
    await asyncio.wait_for((await server.saw()).gone.wait(), 2)


async def test_a_reply_that_nobody_reads_is_closed(server: Server, pool: Pool) -> None:
    async with Direct(spec(server.base_url), pool).send(Ask("/chat/completions", BODY, stream=False)):
        pass
    await asyncio.wait_for((await server.saw()).gone.wait(), 2)


async def test_a_slow_reader_holds_the_server_back(server: Server, pool: Pool) -> None:
    part = b"x" * 65536
    count = 400
    server.play(stream([part] * count))
    async with Direct(spec(server.base_url), pool).send(Ask("/chat/completions", BODY, stream=True)) as reply:
        first = await anext(reply.chunks)
        seen = await server.saw()
        await asyncio.sleep(0.3)
        assert not seen.played.is_set()  # 26 MB do not fit in the kernel's buffers and ours
        rest = [len(part) async for part in reply.chunks]
    assert len(first) + sum(rest) == count * len(part)
    assert max(rest) < HIGH_WATER + (1 << 20)  # what one turn of the loop reads on top


async def test_a_connection_is_used_again_after_whole_answers(server: Server, pool: Pool) -> None:
    direct = Direct(spec(server.base_url), pool)
    for streamed in (False, True, False):
        await said(direct, streamed)
    assert server.accepted == 1


async def test_requests_at_the_same_time_have_their_own_connections(server: Server, pool: Pool) -> None:
    direct = Direct(spec(server.base_url), pool)
    bodies = [json.dumps({"messages": [{"role": "user", "content": f"number {n}"}]}).encode() for n in range(20)]
    answers = await asyncio.gather(*(said(direct, body=body) for body in bodies))
    assert all(f"number {n}" in answer.decode() for n, answer in enumerate(answers))
    assert 1 < server.accepted <= 20


@pytest.mark.parametrize(
    "script",
    [
        Script((Send(head(200, [("content-length", "2"), ("connection", "close")]) + b"{}"), Close())),
        Script((Send(head(200, [("content-length", "2")]) + b"{}"), Close())),
        Script((Send(head(200, [("content-length", "2")]) + b"{}HTTP/1.1 200 OK\r\n"),)),
        Script((Send(head(200, [("content-length", "2")]) + b"{}"), Wait(0.05), Send(b"HTTP/1.1 408 Timeout\r\n\r\n"))),
    ],
    ids=["close announced", "closed without a word", "more than was asked for", "a word out of turn"],
)
async def test_a_connection_that_is_spoilt_is_not_used_again(server: Server, pool: Pool, script: Script) -> None:
    direct = Direct(spec(server.base_url), pool)
    server.play(script)
    assert await said(direct) == b"{}"
    await asyncio.sleep(0.1)
    assert b"hi" in await said(direct)
    assert server.accepted == 2


async def test_an_end_that_the_loop_has_not_yet_seen_is_seen_in_the_kernel(server: Server, pool: Pool) -> None:
    direct = Direct(spec(server.base_url), pool)
    await said(direct)
    for transport in server.transports:
        transport.close()
    await asyncio.sleep(0)  # the server's end is written; the client's read event is still to come
    assert b"hi" in await said(direct)


async def test_a_post_is_never_sent_twice(server: Server, pool: Pool) -> None:
    direct = Direct(spec(server.base_url), pool)
    await said(direct)
    server.play(Script((Close(),)))  # on the connection that is used again
    with pytest.raises(UpstreamUnreachable):
        await said(direct)
    assert len(server.seen) == 2


async def test_a_connection_that_rested_too_long_is_closed(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_pool() as pool:
        direct = Direct(spec(server.base_url), pool)
        await said(direct)
        loop = asyncio.get_running_loop()
        later = loop.time() + IDLE_S + 1
        monkeypatch.setattr(loop, "time", lambda: later)
        await said(direct)
        monkeypatch.undo()
    assert server.accepted == 2


async def test_a_large_request_arrives_whole(server: Server, pool: Pool) -> None:
    body = json.dumps({"messages": [{"role": "user", "content": "x" * 8_000_000}]}).encode()
    assert len(await said(Direct(spec(server.base_url), pool), body=body)) > 8_000_000
    assert server.seen[0].body == body


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://api.example.com/v1", Origin("api.example.com", 443, tls=True)),
        ("http://[::1]:8000/v1/", Origin("::1", 8000, tls=False)),
        ("http://HOST", Origin("host", 80, tls=False)),
    ],
)
def test_an_origin_is_read_from_its_url(url: str, origin: Origin) -> None:
    assert Origin.of(url) == origin


async def test_a_path_may_end_in_a_slash_and_be_empty(server: Server, pool: Pool) -> None:
    root = server.base_url.removesuffix("/v1")
    await said(Direct(spec(f"{root}/v1/"), pool))
    await said(Direct(spec(root), pool))
    assert [seen.target for seen in server.seen] == ["/v1/chat/completions", "/chat/completions"]


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key and certificate of `localhost`, signed by itself."""
    file = tmp_path_factory.mktemp("tls") / "localhost.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(file), "-out", str(file.with_suffix(".crt"))]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    file.write_text(file.read_text() + file.with_suffix(".crt").read_text())
    return file


def serving(certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context


async def test_a_server_with_a_certificate_that_is_trusted_is_asked_over_tls(certificate: Path) -> None:
    trust = ssl.create_default_context(cafile=str(certificate))
    async with scripted(tls=serving(certificate)) as server, open_pool(trust) as pool:
        direct = Direct(spec(server.base_url.replace("127.0.0.1", "localhost")), pool)
        assert b"hi" in await said(direct)
        assert b"hi" in await said(direct, stream=True)
        assert server.accepted == 1


async def test_a_certificate_that_nobody_vouches_for_is_refused_before_anything_is_said(certificate: Path) -> None:
    async with scripted(tls=serving(certificate)) as server, open_pool() as pool:
        with pytest.raises(UpstreamUnreachable, match="certificate"):
            await said(Direct(spec(server.base_url.replace("127.0.0.1", "localhost")), pool))
        assert not server.seen


async def test_a_certificate_of_another_name_is_refused(certificate: Path) -> None:
    trust = ssl.create_default_context(cafile=str(certificate))
    async with scripted(tls=serving(certificate)) as server, open_pool(trust) as pool:
        with pytest.raises(UpstreamUnreachable, match="certificate"):
            await said(Direct(spec(server.base_url), pool))
        assert not server.seen


async def test_a_server_that_speaks_no_tls_is_unreachable(server: Server, pool: Pool) -> None:
    server.always(answer("plain"))
    timeouts = Timeouts(connect_s=0.5)
    with pytest.raises(UpstreamTimeout, match="far: no connection"):
        await said(Direct(spec(server.base_url.replace("http:", "https:"), timeouts=timeouts), pool))


# The protocol alone


@given(
    texts=st.lists(st.binary(min_size=1, max_size=60), max_size=8),
    cuts=st.lists(st.integers(0, 800), max_size=12),
    interim=st.integers(0, 3),
)
def test_an_answer_is_the_same_however_its_bytes_are_split(texts: list[bytes], cuts: list[int], interim: int) -> None:
    whole = head(103, [("link", "x")]) * interim
    whole += head(200, [SSE, ("transfer-encoding", "chunked")]) + b"".join(map(chunk, texts)) + chunk(b"")
    edges = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})

    async def fed() -> bytes:
        connection = Connection()
        connection.connection_made(Kept())
        connection.ask("far", b"POST / HTTP/1.1\r\n\r\n")
        for start, end in pairwise(edges):
            connection.data_received(whole[start:end])
        assert (await connection.head(0)).status == 200
        parts = []
        while part := await connection.read(0):
            parts.append(part)
        assert connection.reusable
        return b"".join(parts)

    assert asyncio.run(fed()) == b"".join(texts)


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=5))
def test_no_bytes_of_a_server_raise_anything_but_our_errors(noise: bytes, cuts: list[int]) -> None:
    edges = sorted({0, len(noise), *(cut for cut in cuts if cut < len(noise))})

    async def fed() -> None:
        connection = Connection()
        connection.connection_made(Kept())
        connection.ask("far", b"POST / HTTP/1.1\r\n\r\n")
        for start, end in pairwise(edges):
            connection.data_received(noise[start:end])
        connection.connection_lost(None)

    asyncio.run(fed())
