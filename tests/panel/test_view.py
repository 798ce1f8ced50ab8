"""What a panel makes of a log."""

from __future__ import annotations

import statistics
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.panel_data import hour

from gateway.panel.course import Course, quantile
from gateway.panel.view import RECENT, View

END = 1_795_000_199.999
EVENTS = list(hour(END))
EXCHANGES = [event for event in EVENTS if event["event"] == "exchange.completed"]


@pytest.fixture
def view() -> View:
    found = View()
    found.lines(map(orjson.dumps, EVENTS))
    return found


@pytest.mark.parametrize("span", ["hour", "day"])
def test_sums_over_the_steps_are_those_of_the_log(view: View, span: str) -> None:
    course = view.told(0, now=END, span=span)["course"]
    assert sum(course["exchanges"]) == len(EXCHANGES)
    assert sum(course["refused"]) == sum(event["outcome"] == "blocked" for event in EXCHANGES)
    assert sum(course["failed"]) == sum(event["outcome"] == "failed" for event in EXCHANGES)
    assert sum(course["usd"]) == pytest.approx(sum(event["cost_usd"] for event in EXCHANGES))
    assert {len(values) for values in course.values()} == {len(course["time"])}


def test_times_are_those_of_answers(view: View) -> None:
    answered = sorted(event["total_ms"] for event in EXCHANGES if event["outcome"] == "completed")
    told = view.told(0, now=END, span="hour")["times"]
    assert told["p50"] == pytest.approx(statistics.median(answered), rel=0.01)
    assert told["p99"] == pytest.approx(answered[int(0.99 * len(answered))], rel=0.01)


def test_what_is_too_old_is_forgotten(view: View) -> None:
    later = view.told(0, now=END + 3600, span="hour")
    assert sum(later["course"]["exchanges"]) == 0
    assert later["times"]["p50"] is None
    view.event({**EXCHANGES[0], "ts": "2027-11-01T00:00:00Z"})
    assert len(view.hour.steps) == len(view.day.steps) == 1


def test_only_what_changed_is_told_again(view: View) -> None:
    told = view.told(0, now=END, span="hour")
    assert len(told["exchanges"]) == RECENT
    assert not view.told(told["number"], now=END, span="hour")["exchanges"]
    last = EXCHANGES[-1]["id"]
    view.event({"event": "score.recorded", "ts": EXCHANGES[-1]["ts"], "id": last, "scores": {"relevance": 0.25}})
    again = view.told(told["number"], now=END, span="hour")["exchanges"]
    assert [(row["id"], row["scores"]) for row in again] == [(last, {"relevance": 0.25})]


def test_rails_are_counted_by_what_they_asked_for(view: View) -> None:
    rails = {row["rail"]: row for row in view.told(0, now=END, span="hour")["rails"]}
    said = [judged for event in EXCHANGES for judged in event["judgements"] if judged["rail"] == "secrets"]
    assert rails["secrets"]["judged"] == len(said)
    assert rails["secrets"]["redact"] == sum(judged["action"] == "redact" for judged in said)


def test_a_signal_stands_until_it_is_cleared(view: View) -> None:
    signal: dict[str, Any] = {"signal": "topics", "number": 1, "ts": EXCHANGES[-1]["ts"]}
    view.event({"event": "signal.raised", **signal, "evidence": {"share": 0.2}})
    assert [one["signal"] for one in view.told(0, now=END, span="hour")["signals"]] == ["topics"]
    view.event({"event": "signal.cleared", **signal})
    told = view.told(0, now=END, span="hour")
    assert not told["signals"]
    assert [one["event"] for one in told["notices"]] == ["signal.raised", "signal.cleared"]


@pytest.mark.parametrize(
    "line", [b"{", b"[]", b'{"event": "exchange.completed", "ts": "2026-11-24T00:00:00Z"}', b"\xff"]
)
def test_a_line_that_is_none_is_counted_and_passed_over(line: bytes) -> None:
    view = View()
    view.lines([line, orjson.dumps(EXCHANGES[0])])
    assert view.broken == 1
    assert len(view.recent) == 1


@given(st.lists(st.floats(0, 1e6), min_size=1), st.sampled_from([0.5, 0.95, 0.99]))
def test_a_quantile_is_a_value_that_few_exceed(values: list[float], q: float) -> None:
    ordered = [round(value, 3) for value in sorted(values)]
    found = quantile(ordered, q)
    assert found in ordered
    assert found is not None
    assert sum(value > found for value in ordered) <= (1 - q) * len(ordered)


def test_many_times_are_sampled_without_bias() -> None:
    course = Course(10, 6)
    for n in range(20_000):
        course.add({**EXCHANGES[0], "outcome": "completed", "total_ms": float(n % 1000), "first_token_ms": None}, 5.0)
    told = course.told(9.0)
    assert told["exchanges"][-1] == 20_000
    assert told["p50"][-1] == pytest.approx(500, abs=100)
