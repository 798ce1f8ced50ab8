"""What an exchange leaves behind: both events, whole and true to the catalogue."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.exchanges import finished

from gateway.exchange import Exchange, Timing, Usage
from gateway.observe import events
from gateway.record import completed, started

STAMP = {"ts": "2026-01-02T03:04:05.000006Z", "process": 1, "seq": 1}


def checked(name: str, fields: dict[str, Any]) -> dict[str, Any]:
    events.check({"event": name, **STAMP, **fields})
    return fields


def test_the_intent_says_what_is_known_before_an_upstream_is_asked() -> None:
    record = checked("exchange.started", started(finished()))
    assert record["policy_digest"] == "abc"
    assert record["received_bytes"] == 200
    assert "upstream" not in record


def test_the_outcome_repeats_the_intent() -> None:
    exchange = finished()
    assert started(exchange).items() <= checked("exchange.completed", completed(exchange)).items()


def test_times_are_milliseconds_between_instants() -> None:
    record = completed(finished())
    assert {key: record[key] for key in record if key.endswith("_ms")} == {
        "input_rails_ms": 250,
        "queue_ms": 0,
        "connect_ms": 250,
        "first_token_ms": 1000,
        "per_output_token_ms": 10,
        "gap_p50_ms": 50,
        "gap_p95_ms": 95,
        "gap_max_ms": 100,
        "output_rails_ms": 125,
        "upstream_ms": 1500,
        "overhead_ms": 1000,
        "total_ms": 2500,
    }


def test_cost_is_the_sum_of_its_classes_and_is_told_per_token() -> None:
    record = completed(finished())
    classes = ("input_usd", "cached_usd", "output_usd", "reasoning_usd", "gpu_usd")
    assert record["cost_usd"] == pytest.approx(sum(record[key] for key in classes))
    assert record["token_usd"] == pytest.approx(record["cost_usd"] / 201)


def test_a_judgement_names_its_rules_and_its_fault() -> None:
    secrets, topics = completed(finished())["judgements"]
    assert (secrets["rules"], secrets["count"], secrets["ms"]) == (["api_keys"], 2, 1.5)
    assert (topics["fault"], topics["enforced"]) == ("timeout", False)


def test_an_exchange_that_was_turned_away_at_the_door_is_recorded_too() -> None:
    exchange = Exchange(id="ex", endpoint="/chat/completions", timing=Timing(started=1.0, finished=1.001))
    exchange.status, exchange.outcome, exchange.error = 401, "rejected", "invalid_api_key"
    record = checked("exchange.completed", completed(exchange))
    assert (record["total_ms"], record["first_token_ms"], record["token_usd"]) == (1.0, None, 0.0)


def test_an_answer_in_one_piece_has_no_time_per_token() -> None:
    exchange = finished()
    exchange.timing.gaps.clear()
    assert completed(exchange)["per_output_token_ms"] is None


def test_the_record_does_not_change_with_the_exchange() -> None:
    exchange = finished()
    record = completed(exchange)
    exchange.tried.append("late")
    exchange.judgements.clear()
    assert record["tried"] == ["down", "up"]
    assert len(record["judgements"]) == 2


INSTANTS = st.none() | st.floats(min_value=0, max_value=1e6)


@given(
    st.builds(
        Timing,
        started=st.floats(min_value=0, max_value=1e6),
        sent=INSTANTS,
        connected=INSTANTS,
        first_token=INSTANTS,
        last_token=INSTANTS,
        finished=INSTANTS,
        gaps=st.lists(st.floats(min_value=0, max_value=100), max_size=20),
    ),
    st.integers(min_value=0, max_value=10),
)
def test_a_record_can_be_made_at_any_moment(timing: Timing, output: int) -> None:
    exchange = Exchange(id="ex", endpoint="/", timing=timing, usage=Usage(output=output))
    record = checked("exchange.completed", completed(exchange))
    assert all(math.isfinite(value) for value in record.values() if isinstance(value, float))
    if timing.gaps:
        assert record["gap_p50_ms"] <= record["gap_p95_ms"] <= record["gap_max_ms"]
        assert record["gap_max_ms"] == pytest.approx(max(timing.gaps) * 1000, abs=0.001)
