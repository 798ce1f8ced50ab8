"""Accounts in Redis: the same arithmetic as in memory, one decision at a time, and nothing that waits for ever."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from support.accounts import rules, steps
from support.redis import Server

from gateway.config.schema import Store
from gateway.errors import LimitsUnavailable
from gateway.limits import account
from gateway.limits.account import Now
from gateway.limits.rule import Claim, Need, Rule
from gateway.limits.shared import SCRIPT, Shared, _read, _rule, shared
from gateway.store import FAILURES, Link, linked

DATES = st.integers(31_536_000, 4_102_444_800).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))


def moment(seconds: float) -> Now:
    date = datetime.fromtimestamp(seconds, UTC)
    return Now(seconds, int(seconds // 86_400), date.year * 12 + date.month, 86_400 - seconds % 86_400)


@settings(max_examples=60, deadline=None)
@given(rules, steps, DATES)
def test_the_script_decides_as_the_account_in_memory_does(
    redis_server: Server, rule: Rule, played: list[tuple[float, bool, Need]], began: datetime
) -> None:
    """But for leases that nobody renews, which memory does not have: pauses end before those do."""
    row, clock, numbers = [0] * account.size(1), began.timestamp(), count()
    under_way: list[tuple[str, Need]] = []
    with redis_server.client() as client:
        client.flushall()
        script = client.register_script(SCRIPT)
        for pause, asks, amount in played:
            clock += min(pause, 59.0) if under_way else pause
            now = moment(clock)
            leases = [f"{name}|{need.tokens}|{need.nano}" for name, need in under_way]
            script(keys=["a", "l"], args=["renew", repr(clock), *leases])
            if asks:
                name = str(next(numbers))
                lease = f"{name}|{amount.tokens}|{amount.nano}"
                told = _read(script(keys=["a", "l"], args=["reserve", repr(clock), lease, *_rule(claim(rule=rule))]))
                denial = account.reserve(row, 0, now, rule, amount)
                standing = account.standing(row, now, rule)
                assert (told[1] and told[1].reason) == (denial and denial.reason)
                if denial and denial.wait is not None:
                    assert told[1] is not None
                    assert told[1].wait == pytest.approx(denial.wait, abs=0.002)
                assert told[0] == pytest.approx(standing, abs=0.002)
                if denial is None:
                    under_way.append((name, amount))
            elif under_way:
                name, need = under_way.pop(0)
                lease = f"{name}|{need.tokens}|{need.nano}"
                assert script(keys=["a", "l"], args=["settle", repr(clock), lease, *amount]) == 1
                account.settle(row, 0, now, need, amount)


def claim(name: str = "app", ident: str = "1", rule: Rule | None = None, need: Need | None = None) -> Claim:
    return Claim(name, ident, rule or Rule(), need or Need())


@asynccontextmanager
async def open_store(
    server: Server, told: list[tuple[str, Mapping[str, Any]]] | None = None, timeout_ms: int = 1000
) -> AsyncGenerator[tuple[Shared, Link], None]:
    spec = Store(kind="redis", url=SecretStr(server.url), timeout_ms=timeout_ms)
    said = told if told is not None else []
    async with linked(spec, lambda event, fields: said.append((event, fields))) as link, shared(link) as store:
        yield store, link


def held(client: redis.Redis, name: str = "app") -> tuple[int, int, int]:
    """Under way, tokens reserved, tokens settled in the window."""
    fields: Any = client.hmget(f"tidegate:account:{{{name}}}", "held_tokens", "tokens")
    under: Any = client.zcard(f"tidegate:leases:{{{name}}}")
    return under, *(int(value or 0) for value in fields)


async def test_a_reservation_is_settled_for_what_it_came_to(server: Server) -> None:
    async with open_store(server) as (store, _):
        one = claim(rule=Rule(requests=9, tokens=100), need=Need(40))
        standing, denial = await store.reserve(one)
        assert denial is None
        assert (standing.requests, standing.tokens) == (8, 60)
        with server.client() as client:
            assert held(client) == (1, 40, 0)
            store.settle(one, Need(15))
            await until(lambda: held(client) == (0, 0, 15))
            store.settle(one, Need(15))  # twice is once
            await store.farewell()
            assert held(client) == (0, 0, 15)


async def test_two_gateways_together_admit_what_one_may(server: Server) -> None:
    async with open_store(server) as (one, _), open_store(server) as (other, _):
        asked = [
            store.reserve(claim(ident=f"{n}-{place}", rule=Rule(requests=50), need=Need(1)))
            for n in range(60)
            for place, store in enumerate((one, other))
        ]
        answers = await asyncio.gather(*asked)
    granted = [denial for _, denial in answers if denial is None]
    assert len(granted) == 50
    assert {denial.reason for _, denial in answers if denial} == {"requests"}


async def test_what_is_settled_at_the_end_is_settled_before_the_store_is_left(server: Server) -> None:
    async with open_store(server) as (store, _):
        one = claim(rule=Rule(tokens=100), need=Need(40))
        await store.reserve(one)
        store.settle(one, Need(7))
    with server.client() as client:
        assert held(client) == (0, 0, 7)


def test_what_nobody_renews_is_charged(server: Server) -> None:
    rule = _rule(claim(rule=Rule(parallel=1, month=100)))
    with server.client() as client:
        script = client.register_script(SCRIPT)
        keys = ["a", "l"]
        assert script(keys=keys, args=["reserve", "1000", "one|10|30", *rule])[0] == b""
        script(keys=keys, args=["renew", "1050", "one|10|30"])
        assert script(keys=keys, args=["reserve", "1100", "two|10|30", *rule])[0] == b"parallel"
        assert script(keys=keys, args=["reserve", "1111", "two|10|30", *rule])[0] == b""
        assert client.hmget("a", "month_nano", "held_nano", "tokens") == [b"30", b"30", b"10"]
        assert script(keys=keys, args=["settle", "1112", "one|10|30", 1, 1]) == 0
        script(keys=keys, args=["renew", "1112", "one|10|30"])
        assert client.zrange("l", 0, -1) == [b"two|10|30"]


@given(DATES)
@settings(max_examples=60, deadline=None)
def test_the_script_knows_the_calendar(redis_server: Server, when: datetime) -> None:
    with redis_server.client() as client:
        client.flushall()
        client.register_script(SCRIPT)(keys=["a", "l"], args=["renew", repr(when.timestamp())])
        found: Any = client.hmget("a", "day", "month")
    days = (when - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(days=1)
    assert [int(n) for n in found] == [days, when.year * 12 + when.month]


def test_large_sums_are_kept_exactly(server: Server) -> None:
    spent = 8_999_999_999_999_999
    with server.client() as client:
        script = client.register_script(SCRIPT)
        script(keys=["a", "l"], args=["reserve", "1000", "one|0|0", "", "", "", "", ""])
        script(keys=["a", "l"], args=["settle", "1000", "one|0|0", 123_456_789_012, spent])
        assert client.hmget("a", "month_nano", "tokens") == [b"%d" % spent, b"123456789012"]


async def test_a_store_that_hangs_costs_its_deadline_and_then_nothing(server: Server) -> None:
    told: list[tuple[str, Mapping[str, Any]]] = []
    async with open_store(server, told, timeout_ms=50) as (store, _):
        server.pause()
        try:
            for n in range(FAILURES):
                with pytest.raises(LimitsUnavailable):
                    await store.reserve(claim(ident=str(n), need=Need(5)))
            began = time.monotonic()
            for n in range(100):
                with pytest.raises(LimitsUnavailable):
                    await store.reserve(claim(ident=f"late-{n}"))
            assert time.monotonic() - began < 2  # and not a hundred deadlines
        finally:
            server.go_on()
        assert [event for event, _ in told] == ["store.lost"]
        await until(lambda: told[-1][0] == "store.found")
        await store.farewell()
        with server.client() as client:
            await until(lambda: held(client)[:2] == (0, 0))


async def test_a_store_that_was_empty_again_is_told_the_script_again(server: Server) -> None:
    async with open_store(server) as (store, _):
        one = claim(need=Need(4))
        await store.reserve(one)
        with server.client() as client:
            client.script_flush()
            assert (await store.reserve(claim(ident="2", need=Need(5))))[1] is None
            client.script_flush()
            store.settle(one, Need(3))
            await until(lambda: held(client) == (1, 5, 3))


async def test_an_exchange_that_is_cancelled_while_it_asks_leaves_nothing_reserved(server: Server) -> None:
    async with open_store(server) as (store, _):
        server.pause()
        try:
            asking = asyncio.create_task(store.reserve(claim(need=Need(9))))
            await asyncio.sleep(0.05)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
        finally:
            server.go_on()
        with server.client() as client:
            await until(lambda: held(client) == (0, 0, 0))


async def until(holds: Any, seconds: float = 20) -> None:
    give_up = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < give_up
        await asyncio.sleep(0.02)
