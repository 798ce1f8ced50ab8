"""Conditions on events: what they mean, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.exchanges import finished

from gateway.cli.where import BadCondition, all_hold, conditions
from gateway.record import completed

EVENT: dict[str, Any] = {"event": "exchange.completed", **completed(finished())}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "verdict=redact",
        " verdict = redact ",
        "verdict!=block",
        "verdict~act",
        "status=200",
        "status=200.0",
        "total_ms>2499.9, total_ms<=2500",
        "stream=true",
        "principal=",
        "tried=down",
        "rail=topics",
        "rule=api_keys",
        "cost_usd>0,policy=support",
        "error=",
    ],
)
def test_a_condition_that_holds(text: str) -> None:
    assert all_hold(conditions(text), EVENT)


@pytest.mark.parametrize(
    "text",
    [
        "verdict=Redact",
        "verdict=allow",
        "verdict!=redact",
        "total_ms>2500",
        "route>0",
        "stream=1",
        "verdict=redact,status=500",
        "rail=nobody",
        "worker=nemo",
        "worker!=nemo",
    ],
)
def test_a_condition_that_does_not_hold(text: str) -> None:
    assert not all_hold(conditions(text), EVENT)


def test_times_that_never_came_are_neither_long_nor_short() -> None:
    event = {**EVENT, "first_token_ms": None}
    assert not all_hold(conditions("first_token_ms<1e9"), event)
    assert all_hold(conditions("first_token_ms=null"), event)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("verdict", "is not like"),
        ("verdict is block", "is not like"),
        ("=block", "is not like"),
        ("__import__('os')=1", "is not like"),
        ("verdct=block", "no event has a key 'verdct'; did you mean 'verdict'?"),
        ("total_ms>slow", "total_ms > takes a number, not 'slow'"),
    ],
)
def test_what_is_no_condition_is_refused_with_a_hint(text: str, words: str) -> None:
    with pytest.raises(BadCondition) as refused:
        conditions(text)
    assert words in str(refused.value)


@given(st.text(), st.dictionaries(st.sampled_from(["status", "verdict", "judgements"]), st.just(None)))
def test_any_text_is_conditions_or_refused(text: str, event: dict[str, Any]) -> None:
    try:
        wanted = conditions(text)
    except BadCondition:
        return
    assert all_hold(wanted, {**EVENT, **event}) in {True, False}
