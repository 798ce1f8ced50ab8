import math
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.monitor.sequential import STAKES, STARTS, Betting, Cusum, Rise, arl, below, lower, upper


def delay(test: Cusum | Betting, accuracy: float, rng: np.random.Generator, most: int = 20_000) -> int | None:
    for n, failed in enumerate(rng.random(most) > accuracy, 1):
        if test.add(failed=bool(failed)):
            return n
    return None


def test_a_fall_from_90_to_85_is_found_within_500_answers_and_never_missed() -> None:
    rng = np.random.default_rng(1)
    found = [delay(Cusum(0.10, 0.15), 0.85, rng) for _ in range(100)]
    there = [one for one in found if one is not None]
    assert len(there) == 100
    assert statistics.median(there) <= 500


def test_false_alarms_come_once_in_a_hundred_thousand_answers() -> None:
    assert arl(Cusum(0.10, 0.15), 0.10) > 100_000


def test_the_average_run_length_is_what_runs_come_to() -> None:
    rng = np.random.default_rng(2)
    runs = [delay(Cusum(0.1, 0.2, 3.0), 0.9, rng) or 20_000 for _ in range(250)]
    assert statistics.mean(runs) == pytest.approx(arl(Cusum(0.1, 0.2, 3.0), 0.1), rel=0.2)


def test_whoever_looks_after_every_answer_is_still_seldom_misled() -> None:
    rng = np.random.default_rng(3)
    sure = [delay(Betting(0.85, alpha=0.1), 0.85, rng, 1000) is not None for _ in range(40)]
    assert sum(sure) <= 9  # of 4 at most that are expected; more come once in a hundred


def test_a_fall_beyond_the_floor_is_found_after_long_good_times() -> None:
    rng = np.random.default_rng(4)
    test = Betting(0.85)
    assert delay(test, 0.90, rng, 5000) is None
    found = delay(test, 0.75, rng)
    assert found is not None
    assert found < 1000
    assert test.sure


@given(st.floats(0.05, 0.95))
def test_bets_are_fair_at_the_floor_and_never_lose_all(floor: float) -> None:
    right, failed = Betting(floor)._gains()
    assert np.exp(right) * floor + np.exp(failed) * (1 - floor) == pytest.approx(np.ones(len(STAKES)))
    assert np.isfinite(right).all()


def test_all_starts_together_have_no_more_than_the_money_there_is() -> None:
    test = Betting(0.5)
    for number in range(STARTS + 50):
        test._start(number)
    assert len(test.starts) == len(test.money) == STARTS
    assert test.log_money <= 0


def test_a_rate_that_doubles_is_found() -> None:
    rng, test = np.random.default_rng(5), Rise(0.01, 0.02)
    assert not any(test.add(int(rng.poisson(0.5)), 50) for _ in range(100))
    assert any(test.add(int(rng.poisson(1.5)), 50) for _ in range(100))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 200), st.data())
def test_bounds_hold_what_they_are_of(total: int, data: st.DataObject) -> None:
    passed = data.draw(st.integers(0, total))
    assert lower(passed, total, 0.05) <= passed / total + 1e-9
    assert upper(passed, total, 0.05) >= passed / total - 1e-9
    assert below(total, total, 0.3) == pytest.approx(1)
    if passed < total:
        assert below(passed, total, upper(passed, total, 0.05)) == pytest.approx(0.05, abs=1e-6)


def test_a_bound_of_the_textbook() -> None:
    assert lower(0, 10, 0.05) == 0.0
    assert upper(0, 10, 0.05) == pytest.approx(1 - 0.05 ** (1 / 10), abs=1e-9)
    assert math.isclose(below(1, 3, 0.5), 0.5)
