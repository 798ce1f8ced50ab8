"""Answers that are given again: to whom, what never is, and that a stream comes again as a stream."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.answers import completion, delta
from support.paths import JSON, Canned, Heard, call, pipeline, stream_of
from support.rails import Words, bound, policy

from gateway.cache.entry import OVERHEAD, Entry, place
from gateway.cache.memory import Shelf
from gateway.config.schema import CacheSpec
from gateway.pipeline import Pipeline
from gateway.pipeline.run import Principal
from gateway.policy.policy import Policy
from gateway.policy.verdict import Action

NOTHING = policy()
ASK = {"model": "m", "temperature": 0, "messages": [{"role": "user", "content": "hello"}]}
HELLO = completion("Hello world")
CUT = {**HELLO, "choices": [{**HELLO["choices"][0], "finish_reason": "length"}]}


class Line:
    """A pipeline whose one route keeps answers."""

    def __init__(self, up: Canned, rules: Policy = NOTHING, **spec: Any) -> None:
        self.up, self.rules, self.heard = up, rules, Heard()
        self.pipeline: Pipeline = pipeline(rules, [up], self.heard)
        route = self.pipeline.routes.table["m"]
        assert route.spec is not None
        cached = route.spec.model_copy(update={"cache": CacheSpec(ttl_s=60, **spec)})
        self.pipeline.routes.table["m"] = replace(route, spec=cached)
        self.pipeline.answers = Shelf(1_000_000)

    async def asks(self, body: Any = ASK, key: str = "one") -> Heard:
        heard = Heard()
        self.pipeline.ledger = heard
        await self.pipeline.run(replace(call(body), principal=Principal(key)), heard)
        assert heard.ended
        return heard


def answering(answer: Any = HELLO, **more: Any) -> Canned:
    return Canned([orjson.dumps(answer)], (JSON,), **more)


async def test_the_same_request_is_answered_with_the_same_bytes_and_no_upstream() -> None:
    line = Line(answering())
    first, second = await line.asks(), await line.asks()
    assert [heard.headers["x-cache"] for heard in (first, second)] == ["miss", "hit"]
    assert first.raw == second.raw
    assert len(line.up.asks) == 1
    record = second.record
    assert (record.cached, record.cost.total, record.usage.input, record.upstream) == (True, 0.0, 0, "")
    assert (record.outcome, record.status, first.record.cached) == ("completed", 200, False)


async def test_keys_in_another_order_and_other_spaces_are_the_same_request() -> None:
    line = Line(answering())
    await line.asks(orjson.dumps(ASK, option=orjson.OPT_INDENT_2))
    assert (await line.asks(dict(reversed(ASK.items())))).headers["x-cache"] == "hit"


async def test_a_stream_comes_again_as_a_stream_and_an_answer_in_one_piece_does_not() -> None:
    parts = stream_of(delta("Hel"), delta("lo"), delta(finish="stop"))
    line = Line(Canned(parts))
    streamed = {**ASK, "stream": True}
    first, second = await line.asks(streamed), await line.asks(streamed)
    assert [heard.headers["x-cache"] for heard in (first, second)] == ["miss", "hit"]
    assert second.headers["content-type"].startswith("text/event-stream")
    assert (second.raw, len(second.pieces)) == (first.raw, len(first.pieces))
    line.up.chunks, line.up.headers = [orjson.dumps(HELLO)], (JSON,)
    assert (await line.asks()).headers["x-cache"] == "miss"


async def test_another_key_is_answered_anew_unless_the_route_shares() -> None:
    own, shared = Line(answering()), Line(answering(), scope="route")
    for line in (own, shared):
        await line.asks(key="one")
    assert (await own.asks(key="two")).headers["x-cache"] == "miss"
    assert (await shared.asks(key="two")).headers["x-cache"] == "hit"


@pytest.mark.parametrize("more", [{"temperature": 1}, {"temperature": 0.1}, {"temperature": None}, {"n": 2}])
async def test_what_the_model_may_answer_otherwise_is_not_kept(more: dict[str, Any]) -> None:
    line = Line(answering())
    for _ in range(2):
        assert (await line.asks({**ASK, **more})).headers["x-cache"] == "bypass"
    assert len(line.up.asks) == 2


async def test_a_route_may_say_that_it_is_kept_all_the_same() -> None:
    line = Line(answering(), sampled=True)
    bare = {key: value for key, value in ASK.items() if key != "temperature"}
    assert [(await line.asks(bare)).headers["x-cache"] for _ in range(2)] == ["miss", "hit"]


@pytest.mark.parametrize(
    ("up", "rules"),
    [
        (answering(CUT), NOTHING),
        (answering({"error": {"message": "no", "type": "x"}}, status=500), NOTHING),
        (answering({"error": {"message": "no", "type": "x"}}, status=400), NOTHING),
        (answering(completion("bad")), policy(outward=[bound(Words("out", ("bad",)))])),
        (answering(completion("bad")), policy(outward=[bound(Words("out", ("bad",)), enforced=False)])),
        (Canned(stream_of(delta("Hel"))[:1]), NOTHING),
        (Canned(stream_of(delta("bad"), delta(finish="stop"))), policy(outward=[bound(Words("out", ("bad",)))])),
    ],
)
async def test_errors_and_what_was_cut_or_would_have_been_are_not_kept(up: Canned, rules: Policy) -> None:
    line = Line(up, rules)
    body = {**ASK, "stream": True} if up.headers != (JSON,) else ASK
    for _ in range(2):
        assert (await line.asks(body)).headers["x-cache"] == "miss"
    assert len(up.asks) == 2


async def test_a_request_that_a_rail_refuses_is_refused_also_where_an_answer_is_kept() -> None:
    line = Line(answering())
    await line.asks()
    strict = policy(inward=[bound(Words("in", ("hello",)))])
    line.pipeline.policies = {
        name: replace(strict, digest=rules.digest) for name, rules in line.pipeline.policies.items()
    }
    heard = await line.asks()
    assert (heard.status, heard.record.cached) == (400, False)


async def test_another_policy_judges_the_answer_anew() -> None:
    line = Line(answering())
    await line.asks()
    other = {name: replace(rules, digest="another") for name, rules in line.pipeline.policies.items()}
    line.pipeline.policies = other
    assert (await line.asks()).headers["x-cache"] == "miss"


async def test_what_a_rail_took_out_of_a_request_does_not_make_two_requests_one() -> None:
    rules = policy(inward=[bound(Words("in", ("ann", "bob"), Action.REDACT))])
    line = Line(answering(), rules)
    for name in ("ann", "bob"):
        heard = await line.asks({**ASK, "messages": [{"role": "user", "content": f"I am {name}"}]})
        assert heard.headers["x-cache"] == "miss"


# Keeping

ENTRIES = st.builds(Entry, st.text(max_size=20), st.lists(st.binary(max_size=40), max_size=5).map(tuple))


@given(ENTRIES)
def test_an_entry_is_read_as_it_was_written(one: Entry) -> None:
    assert Entry.unpacked(one.packed()) == one


@given(st.binary(max_size=60))
def test_bytes_that_nobody_wrote_are_no_entry_or_a_whole_one(raw: bytes) -> None:
    found = Entry.unpacked(raw)
    assert found is None or found.size <= len(raw)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 300)), max_size=40))
def test_the_shelf_never_has_more_than_its_room_and_counts_right(puts: list[tuple[int, int]]) -> None:
    shelf = Shelf(3 * OVERHEAD)

    async def play() -> None:
        for name, size in puts:
            await shelf.put(str(name), Entry("x", (b"x" * size,)), 60)
            assert shelf.size == sum(entry.size + OVERHEAD for entry, _ in shelf._entries.values()) <= shelf.room

    asyncio.run(play())


async def test_an_old_answer_is_gone_and_one_that_is_used_outlives_others() -> None:
    now = [0.0]
    shelf, one = Shelf(2 * OVERHEAD + 20, lambda: now[0]), Entry("x", (b"x",))
    await shelf.put("a", one, 10)
    await shelf.put("b", one, 10)
    assert await shelf.get("a") == one
    await shelf.put("c", one, 10)
    assert [bool(await shelf.get(name)) for name in "abc"] == [True, False, True]
    now[0] = 10.0
    assert await shelf.get("a") is None
    assert shelf.size == one.size + OVERHEAD


def test_a_place_depends_on_everything() -> None:
    places = {place(ASK), place({**ASK, "x": 1}), place(ASK, "a"), place(ASK, "a", "b"), place(ASK, "ab")}
    assert len(places) == 5
