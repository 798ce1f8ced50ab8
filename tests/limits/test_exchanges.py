"""Limits on the path of an exchange: reserved before, settled however it ends, told in OpenAI's headers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import orjson
import pytest
from support.answers import completion, delta
from support.paths import JSON, Canned, Heard, call, pipeline, stream_of
from support.rails import Words, bound, policy

from gateway.errors import UpstreamBroken, UpstreamUnreachable
from gateway.limits import account, estimate
from gateway.limits.gate import Account, Gate
from gateway.limits.rule import Rule
from gateway.limits.table import Table, created
from gateway.pipeline.run import Principal
from gateway.policy.policy import Policy

NOTHING = policy()
BAD = policy(inward=[bound(Words("in", ("bad",)))], outward=[bound(Words("out", ("bad",)))])
HELLO = completion("Hello world")
ASK = {"model": "m", "max_tokens": 20, "messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture
def table() -> Iterator[Table]:
    found = Table(created(1))
    yield found
    found.close()


async def asked(table: Table, rule: Rule, up: Canned, body: Any = ASK, rules: Policy = NOTHING) -> Heard:
    heard = Heard()
    line = pipeline(rules, [up], heard)
    line.gate = Gate(table)
    principal = Principal("app", account=Account("app", rule, 1024))
    await line.run(replace(call(body), principal=principal), heard)
    return heard


def cells(table: Table, *names: int) -> list[int]:
    _, row = table._row("app")
    return [row[name] for name in names]


def answering(answer: Any = HELLO, **more: Any) -> Canned:
    return Canned([orjson.dumps(answer)], (JSON,), **more)


async def test_an_answer_tells_what_is_left_and_what_was_used_is_counted(table: Table) -> None:
    heard = await asked(table, Rule(requests=10, tokens=500), answering())
    reserved = estimate.usage(orjson.dumps(ASK), ASK, "/chat/completions", 1024)
    told = {key[12:]: value for key, value in heard.headers.items() if key.startswith("x-ratelimit-")}
    left = 500 - reserved.input - reserved.output
    assert told | {"reset-requests": ""} == {
        "limit-requests": "10",
        "remaining-requests": "9",
        "reset-requests": "",
        "limit-tokens": "500",
        "remaining-tokens": str(left),
        "reset-tokens": "1m1s",
    }
    used = HELLO["usage"]["total_tokens"]
    assert cells(table, account.TOKENS, account.HELD_TOKENS, account.PARALLEL) == [used, 0, 0]


@pytest.mark.parametrize(
    ("rule", "kind", "code", "again"),
    [
        (Rule(requests=1), "requests", "rate_limit_exceeded", True),
        (Rule(tokens=50), "tokens", "rate_limit_exceeded", True),
        (Rule(tokens=20), "tokens", "rate_limit_exceeded", False),
        (Rule(month=30_000), "insufficient_quota", "insufficient_quota", False),
    ],
)
async def test_what_is_too_much_is_refused_before_any_upstream(
    table: Table, rule: Rule, kind: str, code: str, again: bool
) -> None:
    up = answering(completion("word " * 30))
    for _ in range(3):
        heard = await asked(table, rule, up)
    error = heard.json()["error"]
    assert (heard.status, error["type"], error["code"]) == (429, kind, code)
    assert ("retry-after" in heard.headers) is again
    assert len(up.asks) <= 1
    assert (heard.record.outcome, heard.record.error, heard.record.upstream) == ("rejected", code, "")
    assert cells(table, account.HELD_TOKENS, account.PARALLEL, account.HELD_NANO) == [0, 0, 0]


@pytest.mark.parametrize(
    ("up", "body", "used"),
    [
        (answering(), {"messages": [{"role": "user", "content": "bad"}]}, False),
        (answering(completion("bad")), {}, True),
        (answering({"error": {"message": "no"}}, status=500), {}, False),
        (answering(error=UpstreamUnreachable("gone")), {}, False),
        (Canned(stream_of(delta("Hello"), delta("bad"))), {"stream": True}, True),
        (Canned([*stream_of(delta("Hello"))[:1], UpstreamBroken("cut")]), {"stream": True}, True),
    ],
)
async def test_however_it_ends_nothing_stays_reserved(table: Table, up: Canned, body: Any, used: bool) -> None:
    await asked(table, Rule(parallel=1, tokens=5000), up, {**ASK, **body}, BAD)
    held = cells(table, account.PARALLEL, account.HELD_TOKENS, account.HELD_NANO, account.REQUESTS)
    assert held == [0, 0, 0, 1]
    assert (cells(table, account.TOKENS) != [0]) is used


async def test_a_client_that_leaves_pays_for_what_was_done(table: Table) -> None:
    class Stuck(Canned):
        async def _said(self) -> Any:
            yield stream_of(delta("Hello there"))[0]
            await asyncio.Event().wait()

    task = asyncio.create_task(asked(table, Rule(tokens=5000), Stuck([]), {**ASK, "stream": True}))
    for _ in range(20):  # it has nothing else to wait for
        await asyncio.sleep(0)
    assert cells(table, account.PARALLEL) == [1]
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert cells(table, account.PARALLEL, account.HELD_TOKENS) == [0, 0]
    assert cells(table, account.TOKENS) != [0]


async def test_a_key_is_told_that_a_route_which_is_not_its_own_is_not_there(table: Table) -> None:
    heard, up = Heard(), answering()
    line = pipeline(NOTHING, [up], heard)
    await line.run(replace(call(ASK), principal=Principal("app", routes=frozenset({"other"}))), heard)
    assert (heard.status, heard.json()["error"]["code"], up.asks) == (404, "model_not_found", [])


@pytest.mark.parametrize(
    ("body", "output"),
    [
        ({}, 1024),
        ({"max_tokens": 7}, 7),
        ({"max_completion_tokens": 5, "max_tokens": 7}, 5),
        ({"max_tokens": 7, "n": 3}, 21),
        ({"max_tokens": "many", "n": True}, 1024),
        ({"max_tokens": -4, "n": -1}, 0),
    ],
)
def test_an_answer_is_taken_to_be_as_long_as_it_may(body: dict[str, Any], output: int) -> None:
    assert estimate.usage(b"x" * 401, body, "/chat/completions", 1024).output == output
    assert estimate.usage(b"x" * 401, body, "/embeddings", 1024).output == 0


def test_an_image_in_a_request_is_not_counted_by_its_letters() -> None:
    raw = b'{"url":"data:image/png;base64,' + b"iVBOR" * 100_000 + b'=="}'
    assert estimate.usage(raw, {}, "/chat/completions", 0).input == estimate.INLINE_TOKENS + 8
