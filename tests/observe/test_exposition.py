"""What several processes counted is one text, in which every series is the sum of theirs."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from support.exchanges import finished

from gateway.observe.exposition import summed
from gateway.observe.metrics import Metrics
from gateway.record import completed

Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def text(exchanges: int) -> str:
    metrics = Metrics(lambda: exchanges)
    for _ in range(exchanges):
        metrics.observe(completed(finished()))
    metrics.in_flight = 1
    return metrics.render().decode()


def series(said: str) -> Series:
    families = text_string_to_metric_families(said)
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


TEXTS = st.lists(st.integers(0, 3).map(text), min_size=1, max_size=4)


@settings(max_examples=20)
@given(TEXTS)
def test_every_series_is_the_sum(texts: list[str]) -> None:
    parts, found = [series(one) for one in texts], series(summed(texts))
    assert set(found) == set().union(*parts)
    for key, value in found.items():
        values = [part[key] for part in parts if key in part]
        expected = min(values) if key[0] == "process_start_time_seconds" else sum(values)
        assert abs(value - expected) <= 1e-9 * abs(expected)


@settings(max_examples=20)
@given(TEXTS)
def test_it_does_not_matter_in_which_steps_they_are_added(texts: list[str]) -> None:
    at_once, one_by_one = series(summed(texts)), ""
    for one in texts:
        one_by_one = summed([one_by_one, one])
    assert {key: round(value, 6) for key, value in series(one_by_one).items()} == {
        key: round(value, 6) for key, value in at_once.items()
    }


def test_one_text_alone_stays_what_it_is() -> None:
    alone = text(2)
    assert series(summed([alone])) == series(alone)


def test_of_a_process_that_went_only_what_it_counted_stays() -> None:
    kept = series(summed([text(2)], counted=True))
    names = {name for name, _ in kept}
    assert {"tidegate_exchanges_total", "tidegate_exchange_seconds_bucket", "tidegate_events_dropped_total"} <= names
    assert not {"tidegate_in_flight", "process_resident_memory_bytes", "process_start_time_seconds"} & names


def test_every_metric_is_announced_once() -> None:
    lines = summed([text(1), text(2)]).splitlines()
    heads = [line for line in lines if line.startswith("# ")]
    assert len(heads) == len(set(heads))
    assert all(" " in line for line in lines)
