"""One request over several upstreams: who is asked, who next, and what that does to how they stand."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from support.members import Scene, scene
from support.paths import JSON, Canned

from gateway.errors import (
    NotSupported,
    UpstreamBroken,
    UpstreamBusy,
    UpstreamTimeout,
    UpstreamUnavailable,
    UpstreamUnreachable,
)
from gateway.routing.faults import of_status


def up(name: str = "up", status: int = 200, **more: Any) -> Canned:
    return Canned([b"{}"], more.pop("headers", (JSON,)), status, name, **more)


def down(name: str) -> Canned:
    return up(name, error=UpstreamUnreachable("refused"))


QUICK: dict[str, Any] = {"most": 2, "first_s": 0.001, "most_s": 0.05, "floor_per_s": 1000}


# In order


async def test_an_upstream_that_is_passed_over_is_left_at_once() -> None:
    first, second = up("first", 503), up("second")
    stage = scene([first, second])
    async with stage.asked() as answered:
        assert (answered.target.upstream.name, stage.tried, first.open) == ("second", ["first", "second"], 0)


@pytest.mark.parametrize("status", [401, 403, 408, 429, 500, 502, 503, 504, 529, 599])
async def test_the_next_is_asked_where_it_may_do_better(status: int) -> None:
    stage = scene([up("first", status), up("second")])
    assert (await stage.status(), stage.tried) == (200, ["first", "second"])


@pytest.mark.parametrize("status", [200, 400, 404, 409, 413, 422])
async def test_nobody_else_is_asked_where_the_answer_would_be_the_same(status: int) -> None:
    stage = scene([up("first", status), up("second")])
    assert (await stage.status(), stage.tried) == (status, ["first"])


@pytest.mark.parametrize(
    "error", [UpstreamUnreachable("x"), UpstreamTimeout("x"), UpstreamBroken("x"), UpstreamUnavailable("x")]
)
async def test_errors_before_an_answer_are_passed_over_too(error: Any) -> None:
    stage = scene([up("first", error=error), up("second")])
    assert (await stage.status(), stage.tried) == (200, ["first", "second"])


async def test_only_faults_that_the_route_names_are_passed_over() -> None:
    route = {"fallback_on": ("missing",)}
    assert await scene([up("first", 500), up("second")], route=route).status() == 500
    assert await scene([up("first", 404), up("second")], route=route).status() == 200
    with pytest.raises(UpstreamUnreachable):
        await scene([down("first"), up("second")], route=route).status()


async def test_where_all_fail_the_last_one_is_heard() -> None:
    assert await scene([down("first"), up("second", 503)]).status() == 503
    with pytest.raises(UpstreamUnreachable):
        await scene([up("first", 503), down("second")]).status()


async def test_an_error_while_the_answer_is_read_asks_nobody_else() -> None:
    first, second = up("first"), up("second")
    with pytest.raises(UpstreamBroken, match="halfway"):
        async with scene([first, second]).asked():
            raise UpstreamBroken("halfway")
    assert second.asks == []


async def test_what_an_upstream_cannot_do_is_nobodys_fault() -> None:
    stage = scene([up("first", error=NotSupported("no")), up("second")])  # raised alike
    with pytest.raises(NotSupported):
        await stage.status()
    assert stage.route.groups[0].members[0].standing.gate.busy == 0


async def test_the_cheapest_is_asked_first() -> None:
    prices = {"dear": 2.0, "cheap": 1.0}
    stage = scene([up("dear"), up("cheap", 500)], route={"balance": "price"}, price=lambda s, _: prices[s.name])
    assert (await stage.status(), stage.tried) == (200, ["cheap", "dear"])


# Again


async def test_the_same_one_is_asked_again_as_often_as_the_route_says() -> None:
    only = up("only", 503)
    stage = scene([only], route={"retries": QUICK})
    assert (await stage.status(), len(only.asks)) == (503, 3)
    assert stage.routes.fleet.retries.values == {("m", "only", "overloaded"): 2}


async def test_faults_that_asking_again_does_not_mend_are_answered_at_once() -> None:
    only = up("only", 401)
    assert await scene([only], route={"retries": QUICK}).status() == 401
    assert len(only.asks) == 1


async def test_a_server_that_asks_for_patience_gets_it() -> None:
    only = up("only", 429, headers=(JSON, ("retry-after-ms", "40")))
    began = asyncio.get_running_loop().time()
    assert await scene([only], route={"retries": {**QUICK, "most": 1}}).status() == 429
    assert len(only.asks) == 2
    assert asyncio.get_running_loop().time() - began >= 0.04


async def test_one_that_asks_for_more_patience_than_there_is_is_heard() -> None:
    only = up("only", 429, headers=(JSON, ("retry-after", "30")))
    assert await scene([only], route={"retries": QUICK}).status() == 429
    assert len(only.asks) == 1


async def test_retries_stay_within_their_share_of_requests() -> None:
    only = up("only", 500)
    stage = scene([only], {"breaker": {"failures": 10_000, "volume": 10_000}}, {"retries": {**QUICK, "floor_per_s": 0}})
    for _ in range(200):
        await stage.status()
    assert 200 + 0.17 * 200 <= len(only.asks) <= 200 + 0.2 * 200


async def test_a_balanced_route_pays_for_asking_another_one_unless_nobody_heard_it() -> None:
    settings = {"breaker": {"failures": 10_000, "volume": 10_000}}
    route = {"balance": "weight", "retries": {"floor_per_s": 0, "budget": 0.1}}
    heard = [up("a", 500), up("b", 500)]
    stage = scene(heard, settings, route)
    for _ in range(300):
        await stage.status()
    assert 300 < sum(len(each.asks) for each in heard) <= 330
    stage = scene([down("a"), up("b")], settings, route)
    assert Counter([await stage.status() for _ in range(50)]) == {200: 50}


# Breakers


async def test_one_that_keeps_failing_is_left_alone_probed_and_returned() -> None:
    first = down("first")
    stage = scene([first, up("second")], {"breaker": {"failures": 3, "rest_s": 5}})
    for _ in range(10):
        assert await stage.status() == 200
    assert len(first.asks) == 3
    stage.line.clock.now += 5
    for _ in range(5):
        await stage.status()
    assert len(first.asks) == 4  # the probe
    first.error = None
    stage.line.clock.now += 10
    stage.tried.clear()
    await stage.status()
    await stage.status()
    assert stage.tried == ["first", "first"]
    said = [(event, fields.get("reason") or fields.get("how")) for event, fields in stage.line.said]
    assert said == [("upstream.ejected", "failures"), ("upstream.ejected", "probe"), ("upstream.returned", "probe")]
    assert stage.line.said[-1][1] == {"upstream": "first", "how": "probe", "away_s": 15.0}


async def test_where_nobody_is_left_that_is_said_at_once_and_when_to_come_back() -> None:
    only = up("only", 500)
    stage = scene([only], {"breaker": {"failures": 2, "rest_s": 8}})
    assert [await stage.status() for _ in range(2)] == [500, 500]
    with pytest.raises(UpstreamUnavailable) as nobody:
        await stage.status()
    assert nobody.value.retry_after is not None
    assert 6.4 <= nobody.value.retry_after <= 8
    assert len(only.asks) == 2


async def test_an_answer_that_breaks_off_counts_against_its_upstream() -> None:
    stage = scene([up("only")], {"breaker": {"failures": 2}})
    for _ in range(2):
        with pytest.raises(UpstreamBroken):
            async with stage.asked():
                raise UpstreamBroken("halfway")
    assert stage.line.names == ["upstream.ejected"]


async def test_a_client_that_leaves_says_nothing_of_the_upstream() -> None:
    stage = scene([up("only")], {"breaker": {"failures": 1}})
    for _ in range(3):
        with pytest.raises(asyncio.CancelledError):
            async with stage.asked():
                raise asyncio.CancelledError
    assert (stage.line.said, stage.route.groups[0].members[0].standing.gate.busy) == ([], 0)


@pytest.mark.parametrize("status", [400, 404, 429])
async def test_faults_of_the_request_do_not_eject(status: int) -> None:
    stage = scene([up("only", status)], {"breaker": {"failures": 1}})
    assert [await stage.status() for _ in range(5)] == [status] * 5


@pytest.mark.parametrize("status", [400, 429])
async def test_a_probe_that_says_nothing_of_health_leaves_the_way_open(status: int) -> None:
    only = up("only", 500)
    stage = scene([only], {"breaker": {"failures": 1, "rest_s": 5}})
    assert await stage.status() == 500
    stage.line.clock.now += 5
    only.status = status
    assert await stage.status() == status
    only.status = 200
    assert [await stage.status() for _ in range(2)] == [200, 200]


async def test_one_that_asked_for_a_rest_comes_after_the_others_until_it_is_over() -> None:
    first = up("first", 429, headers=(JSON, ("retry-after", "20")))
    stage = scene([first, up("second")])
    for _ in range(3):
        await stage.status()
    assert stage.tried == ["first", "second", "second", "second"]
    stage.line.clock.now += 21
    stage.tried.clear()
    await stage.status()
    assert stage.tried == ["first", "second"]


async def test_one_whose_checks_fail_is_asked_only_where_there_is_nobody_else() -> None:
    stage = scene([up("first"), up("second")])
    first, second = (member.standing for member in stage.route.groups[0].members)
    first.checked(1000.0, ill=True)
    assert (await stage.status(), stage.tried) == (200, ["second"])
    second.checked(1000.0, ill=True)
    stage.tried.clear()
    assert (await stage.status(), stage.tried) == (200, ["first"])


# Places


async def asking(stage: Scene, leave: asyncio.Event) -> str:
    async with stage.asked() as answered:
        await leave.wait()
        return answered.target.upstream.name


async def test_who_finds_no_place_at_one_goes_to_the_next_before_waiting() -> None:
    stage = scene([up("first"), up("second")], {"load": {"concurrency": 1, "queue": 1}})
    leave = asyncio.Event()
    tasks = [asyncio.create_task(asking(stage, leave)) for _ in range(4)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    with pytest.raises(UpstreamBusy) as sent_away:
        await stage.status()
    assert sent_away.value.retry_after is not None
    leave.set()
    assert Counter(await asyncio.gather(*tasks)) == {"first": 2, "second": 2}
    assert all(member.standing.gate.busy == 0 for member in stage.route.groups[0].members)


async def test_the_time_in_the_queue_is_told() -> None:
    stage = scene([up("only")], {"load": {"concurrency": 1, "queue": 1, "queue_s": 0.05}})
    async with stage.asked():
        with pytest.raises(UpstreamBusy):
            await stage.status()
    assert stage.tried == ["only"]


async def test_the_routes_deadline_ends_all_tries() -> None:
    class Slow(Canned):
        def send(self, ask: Any) -> Any:
            return _never()

    stage = scene([Slow([], name="first"), Slow([], name="second")], route={"deadline_s": 0.05})
    with pytest.raises(UpstreamTimeout, match="No upstream began"):
        await stage.status()
    assert stage.route.groups[0].members[0].standing.gate.busy == 0


class _never:  # noqa: N801 - reads like a context manager's function
    async def __aenter__(self) -> None:
        await asyncio.Event().wait()

    async def __aexit__(self, *_: object) -> None:
        pytest.fail("it was never entered")


# Sticking and splitting


async def test_the_same_opening_goes_to_the_same_upstream() -> None:
    stage = scene([up("a"), up("b"), up("c")], route={"balance": "least", "sticky": {"by": "prompt", "characters": 16}})
    homes: dict[int, set[str]] = {}
    for n in range(30):
        for question in ("x", "y"):
            stage.tried.clear()
            await stage.status(opening=f"system prompt {n:02} {question}")
            homes.setdefault(n, set()).add(stage.tried[0])
    assert all(len(names) == 1 for names in homes.values())
    assert {name for names in homes.values() for name in names} == {"a", "b", "c"}


async def test_keys_stick_and_whoever_has_none_is_balanced() -> None:
    stage = scene([up("a"), up("b")], route={"balance": "weight", "sticky": {"by": "key"}})
    for _ in range(20):
        await stage.status(principal="app-1")
    assert len(set(stage.tried)) == 1
    stage.tried.clear()
    for _ in range(40):
        await stage.status()
    assert set(stage.tried) == {"a", "b"}


SPLIT = {
    "arms": ({"name": "old", "weight": 3.0, "upstreams": ("a",)}, {"name": "new", "weight": 1.0, "upstreams": ("b",)})
}


async def test_requests_are_divided_between_arms_by_weight() -> None:
    stage = scene([up("a"), up("b")], route={"split": SPLIT})
    came = Counter(stage.route.group("").name for _ in range(8000))
    assert 0.72 < came["old"] / 8000 < 0.78
    for _ in range(40):
        await stage.status()
    assert set(stage.tried) == {"a", "b"}


async def test_keys_are_divided_once_and_for_all() -> None:
    one, other = (scene([up("a"), up("b")], route={"split": {**SPLIT, "by": "key"}}) for _ in range(2))
    arms = {key: one.route.group(key).name for key in map(str, range(2000))}
    assert all(other.route.group(key).name == arm for key, arm in arms.items())
    assert 0.7 < Counter(arms.values())["old"] / 2000 < 0.8


def test_every_status_is_a_fault_or_an_answer() -> None:
    assert [of_status(status) for status in (200, 400, 404, 429, 500, 503)] == [
        None, None, "missing", "rate_limit", "server_error", "overloaded"
    ]  # fmt: skip
