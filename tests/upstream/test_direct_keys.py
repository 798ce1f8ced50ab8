"""`Direct` with several keys, and asked whether its server is well."""

from __future__ import annotations

import pytest
from pydantic import SecretStr
from support.answers import answer
from support.script import Close, Hang, Script, Send
from support.scripted import Server

from gateway.config.schema import OpenAISpec
from gateway.upstream import Ask
from gateway.upstream.direct import Direct
from gateway.upstream.pool import Pool

BODY = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'


async def said(direct: Direct) -> None:
    async with direct.send(Ask("/chat/completions", BODY, stream=False)) as reply:
        assert reply.status == 200
        async for _ in reply.chunks:
            pass


def keyed(base_url: str, *keys: str) -> OpenAISpec:
    return OpenAISpec(name="far", kind="openai", base_url=base_url, api_keys=tuple(map(SecretStr, keys)))


def bearers(server: Server) -> list[str]:
    return [seen.header("authorization").removeprefix("Bearer ") for seen in server.seen]


async def test_keys_are_used_in_turn(server: Server, pool: Pool) -> None:
    direct = Direct(keyed(server.base_url, "a", "b", "c"), pool)
    for _ in range(4):
        await said(direct)
    assert bearers(server) == ["a", "b", "c", "a"]


@pytest.mark.parametrize("status", [401, 403, 429])
async def test_a_key_that_is_refused_is_set_aside_and_another_one_used_at_once(
    server: Server, pool: Pool, status: int
) -> None:
    server.play(answer({"error": {}}, status))
    direct = Direct(keyed(server.base_url, "a", "b"), pool)
    async with direct.send(Ask("/chat/completions", BODY, stream=False)) as reply:
        assert reply.status == 200
    await said(direct)
    assert bearers(server) == ["a", "b", "b"]


async def test_where_every_key_is_refused_the_last_refusal_is_the_answer(server: Server, pool: Pool) -> None:
    server.always(answer({"error": {}}, 429, [("content-type", "application/json"), ("retry-after", "7")]))
    direct = Direct(keyed(server.base_url, "a", "b"), pool)
    async with direct.send(Ask("/chat/completions", BODY, stream=False)) as reply:
        assert (reply.status, reply.header("retry-after")) == (429, "7")
    assert bearers(server) == ["a", "b"]


async def test_other_refusals_are_not_about_the_key(server: Server, pool: Pool) -> None:
    server.always(answer({"error": {}}, 500))
    async with Direct(keyed(server.base_url, "a", "b"), pool).send(Ask("/x", BODY, stream=False)) as reply:
        assert reply.status == 500
    assert bearers(server) == ["a"]


# Health


async def test_a_server_is_well_that_answers_a_get(server: Server, pool: Pool) -> None:
    server.play(answer({"data": []}))
    direct = Direct(keyed(server.base_url, "sk-1"), pool)
    assert await direct.well("/models", 5)
    seen = server.seen[0]
    assert (seen.method, seen.target, seen.body) == ("GET", "/v1/models", b"")
    assert seen.header("authorization") == "Bearer sk-1"


@pytest.mark.parametrize(
    "script", [answer({}, 503), answer({}, 302), Script((Hang(),)), Script((Close(),)), Script((Send(b"?\r\n\r\n"),))]
)
async def test_a_server_that_says_or_does_anything_else_is_not(server: Server, pool: Pool, script: Script) -> None:
    server.play(script)
    assert not await Direct(keyed(server.base_url, "sk-1"), pool).well("/models", 0.3)
