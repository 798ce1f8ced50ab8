"""`overlap: true`: the upstream is asked while slow rails judge the request; the client only notices the time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.answers import completion, delta
from support.paths import ASK, JSON, Canned, Heard, call, pipeline, run, stream_of, walked
from support.rails import Doing, Words, bound, policy

from gateway.errors import UpstreamUnreachable
from gateway.policy.policy import Policy
from gateway.policy.rail import Subject, Unit
from gateway.policy.verdict import ALLOW, Action, Edit, Finding, Verdict

WHOLE = (JSON,)
HELLO = completion("Hello world")


@dataclass(slots=True)
class Slow:
    """A rail that judges when it is let; `says` what."""

    says: Verdict = ALLOW
    unit: Unit = Unit.ANSWER
    name: str = "slow"
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    let: asyncio.Event = field(default_factory=asyncio.Event)
    left: int = 0

    async def inspect(self, subject: Subject) -> Sequence[Verdict]:
        self.begun.set()
        try:
            await self.let.wait()
        except asyncio.CancelledError:
            self.left += 1
            raise
        return [self.says] * len(subject.passages)


BLOCK = Verdict(Action.BLOCK, frozenset({Finding("slow", "bad")}))
REWRITE = Verdict(Action.REDACT, frozenset({Finding("slow", "bad")}), frozenset({Edit(0, 1, "")}))


class Endless(Canned):
    """Says what it has to say and then no more, without an end."""

    async def _said(self) -> Any:
        self.open += 1
        try:
            for chunk in self.chunks:
                yield chunk
            await asyncio.Event().wait()
        finally:
            self.open -= 1


def rules(*rails: Any, **more: Any) -> Policy:
    return policy(inward=[bound(rail) for rail in rails], overlap=True, **more)


async def until(true: Any) -> None:
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110  nobody tells
            await asyncio.sleep(0.001)


async def begun(policies: Policy, up: Canned, *, stream: bool) -> tuple[Heard, asyncio.Task[None]]:
    heard = Heard()
    walk = asyncio.create_task(pipeline(policies, [up], heard).run(call({**ASK, "stream": stream}), heard))
    return heard, walk


@pytest.mark.parametrize("stream", [False, True])
async def test_the_upstream_is_asked_before_the_verdict_and_nothing_is_told(stream: bool) -> None:
    rail, up = Slow(), Canned(stream_of(delta("Hello"), delta(finish="stop")))
    up = up if stream else Canned([orjson.dumps(HELLO)], WHOLE)
    heard, walk = await begun(rules(rail), up, stream=stream)
    await until(lambda: up.asks and rail.begun.is_set())
    await asyncio.sleep(0.05)
    assert (heard.pieces, heard.records, heard.status) == ([], [], 0)
    rail.let.set()
    await walk
    assert heard.raw == b"".join(up.chunks)  # type: ignore[arg-type]  # bytes all
    record = heard.record
    assert (record.outcome, record.overlap, record.verdict) == ("completed", True, "allow")
    assert record.scanned == record.scannable
    assert record.timing.input_rails is not None
    assert record.timing.input_rails >= 0.04
    assert record.timing.first_token is not None
    assert record.timing.first_token - record.timing.started >= 0.04  # when the client had it, not when it was here


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("chunks", [[], stream_of(delta("Hello"))])
async def test_a_refusal_leaves_the_upstream(stream: bool, chunks: list[bytes]) -> None:
    rail, up = Slow(BLOCK), Endless(chunks) if stream else Endless([b"{"], WHOLE)
    heard, walk = await begun(rules(rail, refusal="Not here."), up, stream=stream)
    await until(lambda: up.open)
    rail.let.set()
    await walk
    assert up.open == 0
    assert (heard.status, heard.json()["error"]["message"]) == (400, "Not here.")
    assert (heard.record.outcome, heard.record.verdict, heard.record.overlap) == ("blocked", "block", True)
    assert heard.record.usage.input > 0
    assert heard.record.usage.estimated  # the upstream will want to be paid
    assert len(asyncio.all_tasks()) == 1


async def test_a_refusal_does_not_wait_for_an_upstream_that_says_nothing() -> None:
    class Silent(Canned):
        def send(self, ask: Any) -> Any:
            self.asks.append(ask)
            return _Waiting()

    rail, up = Slow(BLOCK), Silent([])
    heard, walk = await begun(rules(rail), up, stream=True)
    await until(lambda: up.asks)
    rail.let.set()
    async with asyncio.timeout(10):
        await walk
    assert (heard.status, heard.record.outcome, heard.record.usage.estimated) == (400, "blocked", True)


class _Waiting:
    async def __aenter__(self) -> None:
        await asyncio.Event().wait()

    async def __aexit__(self, *_: object) -> None: ...


async def test_an_upstreams_fault_waits_for_the_verdict() -> None:
    for says, status in ((BLOCK, 400), (ALLOW, 502)):
        rail = Slow(says)
        heard, walk = await begun(rules(rail), Canned([], error=UpstreamUnreachable("refused")), stream=False)
        await until(rail.begun.is_set)
        await asyncio.sleep(0.01)
        assert not heard.ended
        rail.let.set()
        await walk
        assert heard.status == status


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_that_is_refused_first_waits_for_the_verdict_on_the_request(stream: bool) -> None:
    rail = Slow(BLOCK)
    out = policy(inward=[bound(rail)], outward=[bound(Words("out", ("bad",)))], overlap=True)
    up = Canned(stream_of(delta("bad"))) if stream else Canned([orjson.dumps(completion("bad"))], WHOLE)
    heard, walk = await begun(out, up, stream=stream)
    await until(lambda: up.asks and rail.begun.is_set())
    await asyncio.sleep(0.01)
    assert not heard.ended
    rail.let.set()
    await walk
    assert {(j.stage, j.action) for j in heard.record.judgements} == {("input", "block"), ("output", "block")}


async def test_a_rail_that_fails_late_fails_closed() -> None:
    async def act(_: Subject) -> list[Verdict]:
        await asyncio.sleep(0.02)
        raise KeyError("secret")

    heard = await walked(rules(Doing("r", act)), Canned([orjson.dumps(HELLO)], WHOLE))
    assert (heard.status, heard.record.outcome) == (503, "unavailable")
    assert b"secret" not in heard.raw


async def test_rails_that_wait_for_nothing_go_before_the_upstream() -> None:
    slow, up = Slow(), Canned([orjson.dumps(HELLO)], WHOLE)
    slow.let.set()
    quick = Words("quick", ("bad",))
    heard = await walked(rules(quick, slow), up, body={**ASK, "messages": [{"role": "user", "content": "bad"}]})
    assert (up.asks, heard.record.outcome, slow.begun.is_set()) == ([], "blocked", False)
    assert heard.record.scanned == heard.record.scannable


async def test_what_quick_rails_take_out_is_never_sent() -> None:
    slow, up = Slow(), Canned([orjson.dumps(HELLO)], WHOLE)
    slow.let.set()
    quick = Words("quick", ("bad",), Action.REDACT)
    heard = await walked(rules(quick, slow), up, body={**ASK, "messages": [{"role": "user", "content": "a bad one"}]})
    assert orjson.loads(up.asks[0].body)["messages"][0]["content"] == "a [gone] one"
    assert (heard.status, heard.record.verdict) == (200, "redact")


async def test_what_slow_rails_would_take_out_is_refused() -> None:
    slow = Slow(REWRITE)
    slow.let.set()
    heard = await walked(rules(slow), Canned([orjson.dumps(HELLO)], WHOLE))
    assert (heard.status, heard.record.outcome) == (400, "blocked")


async def test_where_every_rail_is_quick_nothing_overlaps() -> None:
    heard = await walked(rules(Words("quick", ("bad",))), Canned([orjson.dumps(HELLO)], WHOLE))
    assert (heard.status, heard.record.overlap) == (200, False)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_cancels_the_rails_and_the_upstream(stream: bool) -> None:
    rail, up = Slow(), Endless(stream_of(delta("Hello")))
    heard, walk = await begun(rules(rail), up, stream=stream)
    await until(lambda: (up.open or not stream) and rail.begun.is_set())
    walk.cancel()
    with pytest.raises(asyncio.CancelledError):
        await walk
    assert (up.open, rail.left, len(asyncio.all_tasks())) == (0, 1, 1)
    assert [record.outcome for record in heard.records] == ["cancelled"]


@dataclass(slots=True)
class Delayed(Words):
    """Words that are looked for a few turns of the loop later."""

    turns: int = 0

    async def inspect(self, subject: Subject) -> Sequence[Verdict]:
        for _ in range(self.turns):
            await asyncio.sleep(0)
        return await Words.inspect(self, subject)


class Halting(Canned):
    turns: int = 0

    async def _said(self) -> Any:
        for chunk in self.chunks:
            for _ in range(self.turns):
                await asyncio.sleep(0)
            yield chunk


TEXTS = st.sampled_from(("fine", "a bad one", "odd", "bad and odd", "x"))


@settings(max_examples=300, deadline=None)
@given(TEXTS, TEXTS, st.integers(0, 12), st.integers(0, 12), st.booleans(), st.sampled_from(tuple(Unit)))
def test_it_changes_nothing_but_when(asked: str, said: str, rail: int, up: int, stream: bool, unit: Unit) -> None:
    """Whoever is quicker."""
    body = {**ASK, "messages": [{"role": "user", "content": asked}], "stream": stream}
    results = []
    for ahead in (False, True):
        inward = [bound(Delayed("in", ("bad",), turns=rail, unit=unit)), bound(Words("odd", ("odd",), Action.REDACT))]
        outward = [bound(Words("out", ("bad",))), bound(Words("wide", ("odd",), Action.REDACT, Unit.SENTENCE))]
        chunks = stream_of(*map(delta, said), delta(finish="stop")) if stream else [orjson.dumps(completion(said))]
        model = Halting(chunks) if stream else Halting(chunks, WHOLE)
        model.turns = up
        heard = run(walked(policy(inward=inward, outward=outward, overlap=ahead), model, body=body))
        told = heard.texts() if stream and heard.status == 200 else heard.json()
        judged = [(j.stage, j.rail, j.action, j.count) for j in heard.record.judgements if j.stage == "input"]
        record = heard.record
        results.append((heard.status, told, record.outcome, sorted(judged), record.scannable - record.scanned))
    assert results[0][0] == results[1][0]
    if results[0][2] != "blocked":
        assert results[0] == results[1]
    assert results[0][3] == results[1][3]
