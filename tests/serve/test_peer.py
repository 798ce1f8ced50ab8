"""Two processes ask each other over a socket pair, and each knows when the other went."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from gateway.config.load import load
from gateway.errors import ConfigError, Problem
from gateway.front.order import Order
from gateway.front.peer import Answers, Declined, Gone, Peer


@asynccontextmanager
async def pair(answers: Answers, others: Answers | None = None) -> AsyncIterator[tuple[Peer, Peer]]:
    ours, theirs = socket.socketpair()
    one, two = await Peer.over(ours, answers), await Peer.over(theirs, others or {})
    tasks = [asyncio.create_task(peer.run()) for peer in (one, two)]
    try:
        yield one, two
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def double(number: int) -> int:
    await asyncio.sleep(0.001 * (number % 3))
    return 2 * number


async def test_many_questions_each_get_their_own_answer_both_ways() -> None:
    async with pair({"double": double}, {"double": double}) as (one, two):
        found = await asyncio.gather(*(peer.ask("double", n) for n in range(50) for peer in (one, two)))
    assert found == [2 * n for n in range(50) for _ in range(2)]


async def test_a_question_within_a_question_is_answered() -> None:
    async def again(number: int) -> Any:
        return await one.ask("double", number)

    async with pair({"again": again}, {"double": double}) as (one, two):
        assert await two.ask("again", 4) == 8


async def test_a_long_line_comes_whole() -> None:
    async def size(text: str) -> int:
        return len(text)

    async with pair({"size": size}) as (_, two):
        assert await two.ask("size", "x" * 3_000_000) == 3_000_000


async def test_a_no_comes_with_its_reason_and_a_fault_with_its_name_alone(caplog: pytest.LogCaptureFixture) -> None:
    async def refuse(_: Any) -> None:
        raise ConfigError([Problem("a.yaml", 3, "no such thing")])

    async def fail(_: Any) -> None:
        raise ValueError("secret text")

    async with pair({"refuse": refuse, "fail": fail}) as (_, two):
        with pytest.raises(Declined, match=r"a\.yaml:3: no such thing"):
            await two.ask("refuse")
        with pytest.raises(Declined) as declined:
            await two.ask("fail")
        with pytest.raises(Declined, match="KeyError"):
            await two.ask("unheard of")
    assert str(declined.value) == "ValueError"
    assert "could not answer fail" in caplog.text


async def test_whoever_waits_for_one_that_went_is_told_at_once() -> None:
    hanging = asyncio.Event()

    async def hang(_: Any) -> None:
        await hanging.wait()

    async with pair({"hang": hang}) as (one, two):
        waiting = asyncio.create_task(two.ask("hang"))
        await asyncio.sleep(0.01)
        one._close()
        with pytest.raises(Gone):
            await waiting
        with pytest.raises(Gone):
            await two.ask("hang")


async def test_patience_has_an_end() -> None:
    async def hang(_: Any) -> None:
        await asyncio.sleep(60)

    async with pair({"hang": hang}) as (_, two):
        with pytest.raises(TimeoutError):
            await two.ask("hang", timeout_s=0.01)


def test_an_order_arrives_as_it_was_given_with_its_keys(tmp_path: Path) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "p.yaml").write_text(
        "name: p\ncontext: [system]\ninput:\n  - pattern: {deny: ['a\\d+']}\n  - pii: {entities: [URL]}\n"
        "output:\n  - score: {metric: relevance, below: 0.5}\n  - schema: {schema: {type: object, required: [a]}}\n"
    )
    file = tmp_path / "gateway.yaml"
    file.write_text(
        "policies: policies\nupstreams:\n  - {name: a, kind: openai, base_url: 'http://h/v1', api_key: '${KEY}'}\n"
        "  - {name: b, kind: litellm, model: x/y, api_key: '${KEY}'}\n  - {name: c, kind: embedded}\n"
        "routes: [{model: m, upstreams: [a, b, c], policy: p}]\nkeys: [{name: k, sha256: '" + "0" * 64 + "'}]\n"
    )
    config = load(file, {"KEY": "a-secret-key"})
    order = Order(3, config, {"pii": "/s/pii"}, {"c": "http://127.0.0.1:1/v1"})
    arrived = Order.read(order.json())
    assert arrived.json() == order.json()
    assert (arrived.config.gateway, arrived.sockets, arrived.embedded) == (
        config.gateway,
        order.sockets,
        order.embedded,
    )
    upstream = arrived.config.gateway.upstreams[0]
    assert upstream.kind == "openai"
    assert upstream.api_key == SecretStr("a-secret-key")
    assert "a-secret-key" not in repr(order)
