"""Metrics are what the canonical lines add up to, in a text that Prometheus can read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from support.exchanges import finished

from gateway.observe.instruments import Counter, Histogram, bounds
from gateway.observe.metrics import Metrics
from gateway.record import completed

UP = {"route": "m", "upstream": "up"}


def samples(text: bytes) -> Mapping[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(text.decode())
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def value(text: bytes, name: str, **labels: str) -> float:
    return samples(text)[name, tuple(sorted(labels.items()))]


@pytest.fixture
def text() -> bytes:
    metrics = Metrics()
    for _ in range(2):
        metrics.observe(completed(finished()))
    return metrics.render()


def test_exchanges_are_counted_by_how_they_ended(text: bytes) -> None:
    assert value(text, "tidegate_exchanges_total", **UP, status="200", outcome="completed") == 2


def test_tokens_and_dollars_are_summed_by_class(text: bytes) -> None:
    assert value(text, "tidegate_tokens_total", **UP, **{"class": "cached"}) == 80
    assert value(text, "tidegate_cost_usd_total", **UP, **{"class": "gpu"}) == pytest.approx(0.006)


def test_what_rails_said_is_counted_by_rail_stage_and_action(text: bytes) -> None:
    said = {"rail": "secrets", "stage": "input", "action": "redact", "enforced": "yes"}
    assert value(text, "tidegate_verdicts_total", **said) == 2
    assert value(text, "tidegate_rail_faults_total", rail="topics", stage="output", fault="timeout") == 2
    assert value(text, "tidegate_rail_seconds_sum", rail="topics", stage="output") == pytest.approx(3.0)


@pytest.mark.parametrize(("name", "seconds"), [("exchange", 2.5), ("first_token", 1.0), ("per_output_token", 0.01)])
def test_times_are_histograms_by_route_and_upstream(text: bytes, name: str, seconds: float) -> None:
    full = f"tidegate_{name}_seconds"
    assert value(text, f"{full}_count", **UP) == 2
    assert value(text, f"{full}_sum", **UP) == pytest.approx(2 * seconds)
    assert value(text, f"{full}_bucket", **UP, le="+Inf") == 2


def test_errors_are_counted_by_code() -> None:
    metrics = Metrics()
    exchange = finished()
    exchange.error = "upstream_timeout"
    metrics.observe(completed(exchange))
    assert value(metrics.render(), "tidegate_errors_total", **UP, code="upstream_timeout") == 1


def test_times_that_never_came_are_not_counted() -> None:
    metrics = Metrics()
    exchange = finished()
    exchange.timing = replace(exchange.timing, first_token=None, finished=None)
    metrics.observe(completed(exchange))
    assert b"tidegate_first_token_seconds_count" not in metrics.render()


def test_gauges_are_read_when_asked_for() -> None:
    metrics = Metrics(dropped=lambda: 3)
    depth = [0]
    metrics.gauge("tidegate_queue", "Waiting.", lambda: depth[0])
    metrics.in_flight += 2
    depth[0] = 7
    text = metrics.render()
    assert value(text, "tidegate_in_flight") == 2
    assert value(text, "tidegate_queue") == 7
    assert value(text, "tidegate_events_dropped_total") == 3


def test_the_process_itself_is_shown() -> None:
    assert value(Metrics().render(), "process_open_fds") > 0


def test_two_apps_do_not_share_a_count() -> None:
    one, two = Metrics(), Metrics()
    one.observe(completed(finished()))
    assert b"tidegate_exchanges_total{" not in two.render()


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r")))
def test_any_label_can_be_read_back(label: str) -> None:
    counter = Counter("c_total", "Told.", ("a",))
    counter.add((label,), 2)
    ((found,),) = (f.samples for f in text_string_to_metric_families("".join(counter.lines())))
    assert (found.labels, found.value) == ({"a": label}, 2)


@given(st.lists(st.floats(min_value=0, max_value=1e4)))
def test_a_bucket_counts_all_values_up_to_its_bound(values: list[float]) -> None:
    histogram = Histogram("h", "Told.", ("a",), ends := bounds(0.01, 100))
    for each in values:
        histogram.add(("x",), each)
    found = samples("".join(histogram.lines()).encode())
    for end in ends if values else ():
        assert found["h_bucket", (("a", "x"), ("le", str(end)))] == sum(v <= end for v in values)


def test_bounds_rise_by_the_same_ratio() -> None:
    ends = bounds(0.001, 600)
    assert (ends[0], ends[10], ends[-1]) == (0.001, 0.01, 501.0)
    assert all(1.2 < b / a < 1.32 for a, b in pairwise(ends))


def test_observing_leaves_the_record_as_it_was() -> None:
    record: dict[str, Any] = completed(finished())
    before = dict(record)
    Metrics().observe(record)
    assert record == before
