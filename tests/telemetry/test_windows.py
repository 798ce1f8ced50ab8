"""Rows of numbers for windows of time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.exchanges import finished

from gateway import record
from gateway.telemetry.windows import Windows

SPAN_S = 60.0


def at(second: float, event: str = "exchange.completed", **fields: Any) -> dict[str, Any]:
    ts = datetime.fromtimestamp(1_700_000_000 - 1_700_000_000 % 60 + second, UTC).isoformat(timespec="microseconds")
    base = record.completed(finished()) if event == "exchange.completed" else {}
    return {**base, "event": event, "ts": ts, "process": 1, "seq": 1, **fields}


def test_a_row_has_cost_latency_quality_safety_and_drift() -> None:
    windows = Windows(SPAN_S)
    for n in range(100):
        assert windows.take(at(n / 10, total_ms=float(n + 1), outcome="blocked" if n < 25 else "completed")) == []
    windows.take(at(11, "score.recorded", scores={"relevance": 0.5}))
    windows.take(at(12, "score.recorded", scores={"relevance": 1.0}))
    windows.take(at(13, "feedback.received", value=0.0))
    windows.take(at(14, "drift.detected", stream="prompts", p_value=0.001))
    (window,) = windows.take(at(61))
    row = window.row()
    assert (row["exchanges"], row["share/blocked"], row["tokens/input"]) == (100, 0.25, 10_000)
    assert [row[f"latency/total/p{percent}_ms"] for percent in (50, 95, 99)] == [50, 95, 99]
    assert row["cost/usd"] == pytest.approx(100 * record.completed(finished())["cost_usd"])
    assert (row["quality/relevance"], row["quality/feedback"], row["quality/complaints"]) == (0.75, 0.0, 1)
    assert (row["drift/prompts/detected"], row["drift/prompts/p_value"]) == (1, 0.001)
    assert row["safety/redact"] == 100


def test_a_window_that_nothing_follows_is_over_when_its_time_is() -> None:
    windows = Windows(SPAN_S)
    windows.take(at(0))
    assert windows.open is not None
    end = (windows.open.number + 1) * int(SPAN_S * 1e9)
    assert windows.over(end - 1) == []
    assert [window.row()["exchanges"] for window in windows.over(end)] == [1]
    assert windows.over(end) == []


@given(st.lists(st.floats(0, 1000), max_size=40), st.integers(0, 40))
def test_every_exchange_is_in_one_row_also_when_a_part_is_read_twice(seconds: list[float], cut: int) -> None:
    events, told = [at(second) for second in sorted(seconds)], []
    first = Windows(SPAN_S)
    for event in events[:cut]:
        told += first.take(event)
    again = Windows(SPAN_S, told[-1].number if told else 0)
    for event in [*events, at(2000)]:
        told += again.take(event)
    assert sum(window.row()["exchanges"] for window in told) == len(events)
    assert [window.number for window in told] == sorted({window.number for window in told})
