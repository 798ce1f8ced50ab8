"""The scripted server does what it is told: these tests speak raw sockets to it."""

from __future__ import annotations

import asyncio

import pytest
from support.answers import answer, delta, event, stream
from support.script import Close, Hang, Reset, Script, Send, head, pieces
from support.scripted import refusing, scripted

POST = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 49\r\n\r\n"
BODY = b'{"model":"m","messages":[{"content":"ahoy you"}]}'


async def _say(port: int, *parts: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for part in parts:
        writer.write(part)
        await writer.drain()
    return reader, writer


async def test_a_request_is_remembered_byte_for_byte_and_echoed() -> None:
    async with scripted() as server:
        reader, writer = await _say(server.port, POST, BODY)
        text = await reader.readuntil(b"}}")
        seen = await server.saw()
        assert seen.raw == POST + BODY
        assert seen.json()["model"] == "m"
        assert b'"ahoy you"' in text
        writer.close()
        await asyncio.wait_for(seen.gone.wait(), 5)


async def test_scripts_are_played_in_order_then_the_default() -> None:
    async with scripted() as server:
        server.play(answer("one"), answer("two", 503))
        reader, writer = await _say(server.port, POST + BODY, POST + BODY, POST + BODY)
        await reader.readuntil(b"one")
        assert b" 503 " in await reader.readuntil(b"two")
        assert b"ahoy" in await reader.readuntil(b"}}")
        assert [seen.connection for seen in server.seen] == [1, 1, 1]
        writer.close()


async def test_a_chunked_request_is_put_together() -> None:
    async with scripted() as server:
        first = b"POST /v1/embeddings HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
        _, writer = await _say(server.port, first, b'5\r\n{"inp\r\n', b'9\r\nut":"ab"}\r\n', b"0\r\n\r\n")
        seen = await server.saw()
        assert seen.json() == {"input": "ab"}
        writer.close()


async def test_a_stream_is_one_chunk_a_part_and_ends() -> None:
    async with scripted() as server:
        server.play(stream([event(delta("a")), event("[DONE]")]))
        reader, writer = await _say(server.port, POST + BODY)
        text = await reader.readuntil(b"\r\n0\r\n\r\n")
        assert b"data: [DONE]\n\n" in text
        writer.close()


async def test_reset_is_a_reset_and_close_is_an_end() -> None:
    async with scripted() as server:
        server.play(Script((Send(head(200)), Reset())), Script((*pieces(b"abcdef", 2), Close())))
        reader, writer = await _say(server.port, POST + BODY)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
        reader, writer = await _say(server.port, POST + BODY)
        assert await reader.read() == b"abcdef"
        writer.close()


async def test_a_script_may_begin_before_the_request_or_its_body_came() -> None:
    async with scripted() as server:
        server.play(Script((Send(b"early"), Close()), on="accept"), Script((Send(b"late"), Hang()), on="head"))
        reader, writer = await _say(server.port)
        assert await reader.read() == b"early"
        writer.close()
        reader, writer = await _say(server.port, POST)
        assert await reader.readexactly(4) == b"late"
        writer.close()


async def test_leaving_ends_what_hangs_and_refusing_refuses() -> None:
    async with scripted() as server:
        server.always(Script((Hang(),)))
        _, writer = await _say(server.port, POST + BODY)
        await server.saw()
    assert not server.tasks
    writer.close()
    with refusing() as url, pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", int(url.split(":")[2].split("/")[0]))
