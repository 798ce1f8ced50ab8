"""A policy's rails, side by side: who is asked, who is waited for, what a failure means, and what is noted of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.rails import Doing, Words, bound

from gateway.config.policy import Refusal
from gateway.errors import PolicyBlocked, PolicyUnavailable, WorkerBusy, WorkerFault, WorkerLost, WorkerTimeout
from gateway.policy.docket import Docket
from gateway.policy.policy import Bench, Bound, enforce
from gateway.policy.rail import Rail, Subject, Unit
from gateway.policy.verdict import ALLOW, Action, Finding, Verdict, applied
from gateway.wire.passage import Passage

BLOCK = Verdict(Action.BLOCK, frozenset({Finding("b", "word")}))


def subject(*texts: str) -> Subject:
    return Subject([Passage(("messages", n, "content"), "user", "input", text) for n, text in enumerate(texts)])


def bench(*bounds: Bound) -> Bench:
    return Bench(bounds, "input", Docket())


async def judged(*bounds: Bound, texts: Sequence[str] = ("a bad word",)) -> tuple[list[Verdict], Docket]:
    asked = bench(*bounds)
    return await asked.judged(subject(*texts)), asked.docket


def doing(name: str, act: Callable[[Subject], Awaitable[Any]], unit: Unit = Unit.SENTENCE) -> Doing:
    return Doing(name, act, unit)


def saying(name: str, verdict: Verdict) -> Doing:
    async def act(asked: Subject) -> list[Verdict]:
        return [verdict] * len(asked.passages)

    return doing(name, act)


def raising(name: str, error: BaseException) -> Doing:
    async def act(_: Subject) -> list[Verdict]:
        raise error

    return doing(name, act)


async def forever(_: Subject) -> list[Verdict]:
    await asyncio.Event().wait()
    return []


# Side by side


async def test_rails_run_side_by_side() -> None:
    """Each waits for the other: one after the other they would never end."""
    first, second = asyncio.Event(), asyncio.Event()

    async def one(asked: Subject) -> list[Verdict]:
        first.set()
        await second.wait()
        return [ALLOW] * len(asked.passages)

    async def two(asked: Subject) -> list[Verdict]:
        second.set()
        await first.wait()
        return [ALLOW] * len(asked.passages)

    async with asyncio.timeout(10):
        verdicts, docket = await judged(bound(doing("one", one)), bound(doing("two", two)))
    assert verdicts == [ALLOW]
    assert {j.rail for j in docket.judgements()} == {"one", "two"}


async def test_the_first_block_cancels_the_rest() -> None:
    slow = doing("slow", forever)
    async with asyncio.timeout(10):
        verdicts, docket = await judged(bound(slow), bound(saying("b", BLOCK)), bound(doing("also slow", forever)))
    assert verdicts[0].action is Action.BLOCK
    assert slow.cancelled == 1
    assert [j.rail for j in docket.judgements()] == ["b"]
    assert len(asyncio.all_tasks()) == 1


async def test_where_a_pattern_blocks_nobody_else_is_asked() -> None:
    other = Words("other", ("x",), unit=Unit.SENTENCE)
    verdicts, _ = await judged(bound(other), bound(Words("p", ("bad",))))
    assert verdicts[0].action is Action.BLOCK
    assert other.seen == []


async def test_leaving_cancels_every_rail() -> None:
    slow = [doing("one", forever), doing("two", forever)]
    task = asyncio.create_task(judged(*map(bound, slow)))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [rail.cancelled for rail in slow] == [1, 1]
    assert len(asyncio.all_tasks()) == 1


async def test_nothing_is_asked_about_nothing() -> None:
    rail = Words("p", ("x",))
    assert await bench(bound(rail)).judged(subject()) == []
    assert await bench().judged(subject("a", "b")) == [ALLOW, ALLOW]
    assert rail.seen == []


# Rewrites


async def test_rewrites_are_made_in_declared_order() -> None:
    first = Words("first", ("bad",), Action.REDACT, Unit.SENTENCE, "good")
    second = Words("second", ("bad", "good"), Action.REDACT, Unit.SENTENCE, "fine")
    for bounds, expected in (((first, second), "a fine word"), ((second, first), "a fine word")):
        (verdict,), _ = await judged(*map(bound, bounds))
        assert applied("a bad word", verdict.edits) == expected
    third = Words("third", ("ad word",), Action.REDACT, Unit.SENTENCE, "-")
    (verdict,), _ = await judged(bound(third), bound(first))
    assert applied("a bad word", verdict.edits) == "a b-"


async def test_only_what_two_rails_rewrite_is_judged_again_and_counted_once() -> None:
    first = Words("first", ("bad",), Action.REDACT, Unit.SENTENCE, "[1]")
    second = Words("second", ("word", "only"), Action.REDACT, Unit.SENTENCE, "[2]")
    texts = ("bad word", "bad", "only", "none", "bad only")
    verdicts, docket = await judged(bound(first), bound(second), texts=texts)
    out = [applied(text, v.edits) for text, v in zip(texts, verdicts, strict=True)]
    assert out == ["[1] [2]", "[1]", "[2]", "none", "[1] [2]"]
    assert second.seen == [*texts, "[1] word", "[1] only"]
    assert first.seen == list(texts)
    assert {j.rail: j.count for j in docket.judgements()} == {"first": 3, "second": 3}


async def test_a_rail_that_blocks_when_asked_again_blocks() -> None:
    async def act(asked: Subject) -> list[Verdict]:
        again = asked.passages[0].text != "a bad word"
        return [BLOCK] if again else list(await Words("w", ("word",), Action.REDACT).inspect(asked))

    first = Words("first", ("bad",), Action.REDACT, Unit.SENTENCE)
    (verdict,), _ = await judged(bound(first), bound(doing("second", act)))
    assert verdict.action is Action.BLOCK


async def test_what_is_blocked_is_not_judged_again() -> None:
    editors = [Words(name, ("bad",), Action.REDACT, Unit.SENTENCE) for name in ("one", "two")]

    async def last(_: Subject) -> list[Verdict]:
        while not all(rail.seen for rail in editors):  # noqa: ASYNC110  rails tell nobody
            await asyncio.sleep(0)
        return [BLOCK]

    (verdict,), _ = await judged(*map(bound, editors), bound(doing("b", last)))
    assert verdict.action is Action.BLOCK
    assert [rail.seen for rail in editors] == [["a bad word"], ["a bad word"]]


async def test_patterns_take_out_what_either_finds() -> None:
    one, two = Words("one", ("bad w",), Action.REDACT, new="[1]"), Words("two", ("a bad",), Action.REDACT, new="[2]")
    for bounds in ((one, two), (two, one)):
        (verdict,), _ = await judged(*map(bound, bounds))
        assert applied("a bad word", verdict.edits) == "[2]ord"


@settings(max_examples=200)
@given(st.lists(st.tuples(st.sampled_from(("ab", "b", "bc", "ca")), st.sampled_from(list(Unit))), max_size=3))
def test_no_word_that_a_rail_takes_out_is_left_unless_a_later_one_wrote_it(rules: list[tuple[str, Unit]]) -> None:
    bounds = [bound(Words(str(n), (word,), Action.REDACT, unit, "#")) for n, (word, unit) in enumerate(rules)]
    text = "abcabcab"
    (verdict,), _ = asyncio.run(judged(*bounds, texts=(text,)))
    assert not any(word in applied(text, verdict.edits) for word, _ in rules)


# Failures


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (WorkerTimeout("late"), "timeout"),
        (TimeoutError(), "timeout"),
        (WorkerLost("gone"), "lost"),
        (WorkerBusy("full"), "error"),
        (WorkerFault("broken"), "error"),
        (KeyError("text of the client"), "error"),
        (RecursionError(), "error"),
        (MemoryError(), "error"),
        (asyncio.CancelledError(), "error"),
    ],
)
@pytest.mark.parametrize("on_error", ["open", "closed"])
@pytest.mark.parametrize("beside", [(), (Words("p", ("x",)), saying("s", ALLOW))])
async def test_a_failure_is_a_verdict_by_on_error(
    error: BaseException, fault: str, on_error: Any, beside: tuple[Rail, ...]
) -> None:
    verdicts, docket = await judged(
        bound(raising("r", error), on_error=on_error), *map(bound, beside), texts=("a", "b")
    )
    action = Action.BLOCK if on_error == "closed" else Action.ALLOW
    assert [v.action for v in verdicts] == [action, action]
    (line,) = [j for j in docket.judgements() if j.rail == "r"]
    assert (line.action, line.fault, line.rules, line.count) == (action.word, fault, (), 0)
    assert docket.verdict() == ("unavailable" if on_error == "closed" else "allow")


@pytest.mark.parametrize("answer", [None, [], [ALLOW] * 3, [None, None], ["allow", "allow"], 7])
async def test_an_answer_that_is_none_is_a_failure(answer: Any) -> None:
    async def act(_: Subject) -> Any:
        return answer

    verdicts, docket = await judged(bound(doing("r", act)), texts=("a", "b"))
    assert all(v.action is Action.BLOCK and v.fault for v in verdicts)
    assert docket.judgements()[0].fault == "error"


async def test_a_rail_that_takes_too_long_is_cancelled() -> None:
    slow = doing("slow", forever)
    async with asyncio.timeout(10):
        (verdict,), docket = await judged(bound(slow, deadline_s=0.02))
    assert (verdict.action, verdict.fault, slow.cancelled) == (Action.BLOCK, True, 1)
    assert docket.judgements()[0].fault == "timeout"
    assert docket.judgements()[0].seconds > 0.01


async def test_a_failing_rail_does_not_hurt_its_neighbours() -> None:
    good = Words("good", ("bad",), Action.REDACT, Unit.SENTENCE)
    (verdict,), _ = await judged(bound(raising("r", ValueError()), on_error="open"), bound(good))
    assert applied("a bad word", verdict.edits) == "a [gone] word"


async def test_a_flagging_rail_that_fails_flags() -> None:
    failing = Bound(raising("r", ValueError()), 1.0, "closed", enforced=True, flags=True)
    (verdict,), docket = await judged(failing)
    assert verdict.action is Action.FLAG
    assert docket.verdict() == "flag"


# Shadow


async def test_a_shadow_rail_is_noted_and_never_acts() -> None:
    redacting = Words("r", ("bad",), Action.REDACT, Unit.SENTENCE)
    bounds: list[Rail] = [Words("p", ("bad",)), redacting, raising("f", ValueError()), saying("b", BLOCK)]
    (verdict,), docket = await judged(*(bound(rail, enforced=False) for rail in bounds))
    assert (verdict.action, verdict.edits) == (Action.FLAG, frozenset())
    assert {(j.rail, j.action, j.enforced) for j in docket.judgements()} == {
        ("p", "block", False),
        ("r", "redact", False),
        ("f", "block", False),
        ("b", "block", False),
    }
    assert docket.verdict() == "allow"
    enforce(verdict, Refusal())


# What is noted


async def test_what_is_found_is_counted_passage_by_passage() -> None:
    _, docket = await judged(bound(Words("p", ("bad",), Action.FLAG)), texts=("bad bad", "bad", "fine"))
    (line,) = docket.judgements()
    assert (line.stage, line.rail, line.action, line.rules, line.count) == ("input", "p", "flag", ("word",), 3)


async def test_the_word_for_it_all_is_the_strongest_that_acted() -> None:
    async def word(*bounds: Bound) -> str:
        return (await judged(*bounds))[1].verdict()

    flag = bound(Words("f", ("bad",), Action.FLAG, Unit.SENTENCE))
    assert await word(bound(Words("p", ("x",)))) == "allow"
    assert await word(flag) == "flag"
    assert await word(flag, bound(Words("r", ("bad",), Action.REDACT))) == "redact"
    assert await word(flag, bound(Words("b", ("bad",)))) == "block"
    assert await word(flag, bound(raising("e", ValueError()))) == "unavailable"
    assert Docket().verdict() == "allow"


def test_a_block_is_raised_as_what_it_is() -> None:
    failed = bound(raising("r", ValueError())).failed("lost")
    flagged = Verdict(Action.FLAG, frozenset({Finding("f", "word")}))
    with pytest.raises(PolicyBlocked, match="as configured") as blocked:
        enforce(BLOCK | failed, Refusal(message="as configured", status=451))
    assert blocked.value.status == 451
    with pytest.raises(PolicyUnavailable) as unavailable:
        enforce(failed | flagged, Refusal(message="as configured"))
    assert (unavailable.value.status, unavailable.value.retry_after) == (503, 1)
    enforce(flagged, Refusal())
