"""Connections that are not used as they should be, and requests beyond what is let in."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from support.answers import deltas, stream
from support.operated import PATIENCE_S, Operated, Site, operated
from support.scripted import Server

pytestmark = pytest.mark.system

ASK = orjson.dumps({"model": "m", "messages": [{"role": "user", "content": "go"}]})
STREAM = orjson.dumps({"model": "m", "stream": True, "messages": [{"role": "user", "content": "go"}]})
SHORT: dict[str, Any] = {"port": 0, "drain_s": 10, "header_s": 1, "body_s": 1, "keep_alive_s": 1, "write_s": 1}

Both = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def request(body: bytes = ASK, path: str = "/v1/chat/completions", *lines: str) -> bytes:
    head = [
        f"POST {path} HTTP/1.1",
        "host: x",
        "content-type: application/json",
        f"content-length: {len(body)}",
        *lines,
    ]
    return "".join(f"{line}\r\n" for line in head).encode() + b"\r\n" + body


@contextlib.asynccontextmanager
async def connected(gateway: Operated, data: bytes = b"") -> AsyncIterator[Both]:
    host, _, port = gateway.url.rpartition("/")[2].partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(data)
        yield reader, writer
    finally:
        writer.close()


async def rest(both: Both) -> bytes:
    """All that comes until the gateway closes."""
    async with asyncio.timeout(PATIENCE_S):
        return await both[0].read()


async def answer(both: Both) -> tuple[bytes, bytes]:
    """Head and body of one answer."""
    async with asyncio.timeout(PATIENCE_S):
        head = await both[0].readuntil(b"\r\n\r\n")
        if b"chunked" in head:
            return head, await both[0].readuntil(b"\r\n0\r\n\r\n")
        size = next(int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
        return head, await both[0].readexactly(size)


async def test_sockets_that_are_silent_or_slow_are_closed(site: Site, model: Server) -> None:
    site.configure(model.base_url, server=SHORT)
    async with operated(site) as gateway:
        await gateway.ready()
        whole = request()
        async with (
            connected(gateway) as silent,
            connected(gateway, whole[:30]) as head,
            connected(gateway, whole[:-5]) as body,
            connected(gateway, whole) as used,
        ):
            assert (await answer(used))[0].startswith(b"HTTP/1.1 200 ")
            said = await asyncio.gather(rest(silent), rest(head), rest(body), rest(used))
    assert said[0] == said[3] == b""
    for late in said[1:3]:
        assert late.startswith(b"HTTP/1.1 408 ")
        assert b"connection: close" in late
        assert orjson.loads(late.partition(b"\r\n\r\n")[2])["error"]["type"] == "timeout"


async def test_silent_sockets_beyond_the_limit_make_room_for_whoever_asks(site: Site, model: Server) -> None:
    site.configure(model.base_url, server={"port": 0, "connections": 16})
    async with operated(site) as gateway, contextlib.AsyncExitStack() as stack:
        await gateway.ready()
        for _ in range(64):
            await stack.enter_async_context(connected(gateway))
        for _ in range(4):
            both = await stack.enter_async_context(connected(gateway, request()))
            assert (await answer(both))[0].startswith(b"HTTP/1.1 200 ")


async def test_requests_beyond_what_is_let_in_are_shed_and_the_connection_stays(site: Site, model: Server) -> None:
    model.play(stream(deltas(["one ", "two "]), 1.0))
    site.configure(model.base_url, server={"port": 0, "in_flight": 1})
    async with operated(site) as gateway:
        await gateway.ready()
        async with connected(gateway, request(STREAM)) as first, connected(gateway) as second:
            await site.saw("exchange.started")
            for path in ("/v1/chat/completions", "/v1/messages"):
                second[1].write(request(path=path))
                head, body = await answer(second)
                assert head.startswith(b"HTTP/1.1 503 ")
                assert b"\r\nretry-after: 1\r\n" in head
                assert b"x-request-id: req_" in head
                assert orjson.loads(body)["error"]["type"] in {"server_error", "overloaded_error"}
            second[1].write(b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n")
            assert (await answer(second))[0].startswith(b"HTTP/1.1 200 ")
            assert b"two" in (await answer(first))[1]
            second[1].write(request())
            assert (await answer(second))[0].startswith(b"HTTP/1.1 200 ")
            second[1].write(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n")
            assert b"\ntidegate_shed_total 2.0\n" in (await answer(second))[1]


async def test_a_process_that_goes_answers_what_is_on_the_way_and_says_that_it_closes(
    site: Site, model: Server
) -> None:
    model.play(stream(deltas(["one ", "two ", "three "]), 0.7))
    async with operated(site) as gateway:
        await gateway.ready()
        async with (
            connected(gateway, request(STREAM)) as streamed,
            connected(gateway) as kept,
            connected(gateway) as unused,
            connected(gateway, request()[:-5]) as half,
        ):
            async with asyncio.timeout(PATIENCE_S):
                await streamed[0].readuntil(b"one ")
            kept[1].write(request())
            await answer(kept)
            os.kill(site.events("worker.started")[0]["pid"], signal.SIGTERM)
            await asyncio.sleep(0.3)
            half[1].write(request()[-5:])
            for late in (kept, unused):
                late[1].write(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
                said = await rest(late)
                assert said.startswith(b"HTTP/1.1 200 ")
                assert b"connection: close" in said
            assert (await rest(half)).startswith(b"HTTP/1.1 200 ")
            async with asyncio.timeout(PATIENCE_S):
                assert b"three" in await streamed[0].readuntil(b"\r\n0\r\n\r\n")
            streamed[1].write(request())  # its client was not told to close
            said = await rest(streamed)
            assert said.startswith(b"HTTP/1.1 200 ")
            assert b"connection: close" in said


async def test_a_gateway_that_was_told_to_stop_says_so_while_it_still_lets_clients_in(
    site: Site, model: Server
) -> None:
    asked = b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n"
    site.configure(model.base_url, server={"port": 0, "leave_s": 5})
    async with operated(site) as gateway:
        await gateway.ready()
        gateway.process.send_signal(signal.SIGTERM)
        await gateway.heard("Stopping")
        async with connected(gateway, asked) as both:
            head, body = await answer(both)
            while head.startswith(b"HTTP/1.1 200 "):  # the word is on its way to who answers
                both[1].write(asked)
                head, body = await answer(both)
            assert head.startswith(b"HTTP/1.1 503 ")
            assert orjson.loads(body) == {"status": "stopping"}
            both[1].write(request())
            assert (await answer(both))[0].startswith(b"HTTP/1.1 200 ")
        assert await gateway.ended() == 0
