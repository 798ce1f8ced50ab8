"""The breaker, and how much of something there was lately."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.config.traffic import BreakerSpec
from gateway.routing.breaker import Breaker, State
from gateway.routing.budget import WINDOW_S, Budget
from gateway.routing.latency import DECAY_S, PeakEwma
from gateway.routing.recent import Recent

SPEC = BreakerSpec(failures=3, share=0.5, volume=6, window_s=10.0, rest_s=5.0, most_rest_s=20.0)


def opened(now: float = 100.0) -> Breaker:
    breaker = Breaker(SPEC, Random(1))
    assert [breaker.bad(now, probe=False) for _ in range(3)] == ["", "", "failures"]
    return breaker


def test_failures_in_a_row_open_it_and_a_success_between_does_not() -> None:
    breaker = Breaker(SPEC, Random(1))
    for now in (1.0, 100.0):
        assert not breaker.bad(now, probe=False)
        assert not breaker.bad(now, probe=False)
        breaker.good(now, probe=False)
        assert not breaker.bad(now, probe=False)
        breaker.good(now, probe=False)
    assert breaker.fit(100.0)
    assert not opened().fit(100.0)


def test_a_share_of_many_opens_it_though_some_succeed() -> None:
    breaker = Breaker(SPEC, Random(1))
    said = []
    for _ in range(3):
        breaker.good(1.0, probe=False)
        said.append(breaker.bad(1.0, probe=False))
    assert said == ["", "", "share"]


def test_what_failed_long_ago_is_forgotten() -> None:
    breaker = Breaker(SPEC, Random(1))
    for now in range(0, 200, 5):
        breaker.good(float(now), probe=False)
        assert not breaker.bad(float(now), probe=False)


def test_one_probe_decides() -> None:
    breaker = opened()
    assert not breaker.fit(100.0 + 0.79 * 5)
    assert breaker.fit(105.0)
    assert breaker.begin()
    assert not breaker.fit(105.0)  # there is one already
    assert breaker.good(106.0, probe=True)
    assert breaker.fit(106.0)
    assert not breaker.begin()


def test_a_probe_that_fails_doubles_the_rest_up_to_the_most() -> None:
    breaker, now, rests = opened(), 100.0, []
    for _ in range(5):
        rests.append(breaker.until - now)
        now = breaker.until
        assert breaker.begin()
        assert breaker.bad(now, probe=True) == "probe"
    for rest, least in zip(rests, (4, 8, 16, 16, 16), strict=True):
        assert least <= rest <= least / 0.8


def test_a_probe_whose_client_left_lets_another_one_go() -> None:
    breaker = opened()
    assert breaker.begin()
    breaker.dropped(probe=True)
    assert breaker.fit(105.0)


def test_tries_that_began_before_say_nothing_while_it_is_open() -> None:
    breaker = opened()
    until = breaker.until
    assert not breaker.bad(101.0, probe=False)
    assert not breaker.good(101.0, probe=False)
    assert (breaker.state, breaker.until) == (State.OPEN, until)


@pytest.mark.parametrize(("steady_s", "rests"), [(1.0, 2), (21.0, 1)])
def test_rests_are_short_again_after_a_steady_time(steady_s: float, rests: int) -> None:
    breaker = opened()
    breaker.begin()
    breaker.good(105.0, probe=True)
    for _ in range(3):
        breaker.bad(105.0 + steady_s, probe=False)
    assert breaker.rests == rests


class AnyOrder(RuleBasedStateMachine):
    """However tries begin, end and are given up: one probe at a time, and always a way back."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 100.0
        self.breaker = Breaker(SPEC, Random(3))
        self.under_way: list[bool] = []

    @rule(seconds=st.floats(0, 30))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.breaker.fit(self.now))
    @rule()
    def one_begins(self) -> None:
        self.under_way.append(self.breaker.begin())

    @precondition(lambda self: self.under_way)
    @rule(at=st.integers(0, 99), end=st.sampled_from(("good", "bad", "dropped")))
    def one_ends(self, at: int, end: str) -> None:
        probe = self.under_way.pop(at % len(self.under_way))
        match end:
            case "good":
                self.breaker.good(self.now, probe=probe)
            case "bad":
                self.breaker.bad(self.now, probe=probe)
            case _:
                self.breaker.dropped(probe=probe)

    @invariant()
    def there_is_one_probe_at_most_and_never_a_dead_end(self) -> None:
        probes = sum(self.under_way)
        assert probes == (1 if self.breaker.state is State.PROBING else 0)
        assert probes or self.breaker.fit(max(self.now, self.breaker.until))
        assert self.breaker.until <= self.now + SPEC.most_rest_s


TestAnyOrder = AnyOrder.TestCase


# Sums of late


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 10)), max_size=60))
def test_a_sum_holds_the_last_seconds_give_or_take_a_tenth(steps: list[tuple[float, float]]) -> None:
    recent, now, log = Recent(10.0), 50.0, list[tuple[float, float]]()
    for passes, amount in steps:
        now += passes
        recent.add(now, amount)
        log.append((now, amount))
    found = recent.sum(now)
    assert found <= sum(amount for at, amount in log if at > now - 10.0 - 1e-9) + 1e-6
    assert found >= sum(amount for at, amount in log if at > now - 9.0 + 1e-9) - 1e-6


@given(st.floats(0, 1), st.floats(0, 3), st.lists(st.tuples(st.floats(0, 2), st.booleans()), max_size=200))
def test_no_ten_seconds_have_more_retries_than_the_budget(
    share: float, floor: float, steps: list[tuple[float, bool]]
) -> None:
    budget, now = Budget(share, floor), 10.0
    requests, spent = list[float](), list[float]()
    for passes, first in steps:
        now += passes
        if first:
            budget.request(now)
            requests.append(now)
        elif budget.spend(now):
            spent.append(now)
            late = [at for at in requests if at > now - WINDOW_S]
            assert len([at for at in spent if at > now - 0.9 * WINDOW_S]) <= share * len(late) + floor * WINDOW_S + 1e-6


def test_a_budget_of_a_fifth_lets_a_fifth_be_asked_again() -> None:
    budget, granted = Budget(0.2, 0.0), 0
    for n in range(10_000):
        budget.request(n / 1000)
        granted += budget.spend(n / 1000)
    assert 0.19 <= granted / 10_000 <= 0.2


# Latency


@given(st.lists(st.tuples(st.floats(0, 30), st.floats(0.001, 60)), min_size=1, max_size=50))
def test_latency_jumps_to_a_peak_and_never_leaves_what_was_measured(steps: list[tuple[float, float]]) -> None:
    ewma, now, before = PeakEwma(), 5.0, 0.0
    for passes, seconds in steps:
        now += passes
        taken = ewma.seconds(now)
        ewma.note(now, seconds)
        found = ewma.seconds(now)
        assert found == seconds if seconds >= taken else seconds <= found <= before + 1e-9
        before = found


def test_latency_is_forgotten_so_that_a_slow_one_is_tried_again() -> None:
    ewma = PeakEwma()
    ewma.note(0.0, 10.0)
    assert ewma.seconds(5 * DECAY_S) < 0.1
    assert ewma.load(0.0, 3) == 40.0
    assert PeakEwma().load(0.0, 0) == 0.0 < PeakEwma().load(0.0, 1)
