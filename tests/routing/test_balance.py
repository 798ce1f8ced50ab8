"""Who is chosen of several: by weight, load, latency, price; and who sticks to whom."""

from __future__ import annotations

from collections import Counter
from math import ceil
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from support.paths import Canned

from gateway.config.schema import AnyUpstream, OpenAISpec
from gateway.routing import Fleet, Member, Target
from gateway.routing.balance import by_price, least, quickest, weighted
from gateway.routing.sticky import chosen, order, place

NAMES = st.lists(st.text("abcdefgh", min_size=1, max_size=4), min_size=1, max_size=6, unique=True)
WEIGHTS = st.lists(st.floats(0.1, 10), min_size=6, max_size=6)


def members(*names: str, weights: tuple[float, ...] = ()) -> list[Member]:
    fleet = Fleet()
    specs = [OpenAISpec(name=name, kind="openai", base_url="http://127.0.0.1/v1") for name in names]
    given_ = weights or (1.0,) * len(names)
    return [Member(Target(Canned([]), s), fleet.standing(s), w) for s, w in zip(specs, given_, strict=True)]


def test_weights_are_shares() -> None:
    group, rng = members("a", "b", "c", weights=(6.0, 3.0, 1.0)), Random(5)
    came = Counter(weighted(group, 0.0, rng).standing.name for _ in range(20_000))
    assert [round(came[name] / 20_000, 2) for name in "abc"] == [0.6, 0.3, 0.1]


@given(st.lists(st.integers(0, 9), min_size=2, max_size=2), st.floats(0.5, 4), st.integers())
def test_of_two_the_one_with_less_for_its_weight_is_asked(busy: list[int], weight: float, seed: int) -> None:
    group = members("a", "b", weights=(1.0, weight))
    for member, under_way in zip(group, busy, strict=True):
        member.standing.gate.busy = under_way
    loads = [(busy[0] + 1) / 1.0, (busy[1] + 1) / weight]
    assert loads[group.index(least(group, 0.0, Random(seed)))] == min(loads)


def test_nobody_is_asked_while_an_idle_one_stands_beside_two_busy_ones_more_often_than_chance() -> None:
    group, rng = members("a", "b", "c"), Random(1)
    group[0].standing.gate.busy = group[1].standing.gate.busy = 5
    came = Counter(least(group, 0.0, rng).standing.name for _ in range(6000))
    assert 0.63 < came["c"] / 6000 < 0.70  # two of three pairs have it


def test_the_quicker_of_two_is_asked_until_it_has_more_ahead() -> None:
    group = members("slow", "quick")
    group[0].standing.ewma.note(10.0, 1.0)
    group[1].standing.ewma.note(10.0, 0.25)
    assert quickest(group, 10.0, Random(1)).standing.name == "quick"
    group[1].standing.gate.busy = 4
    assert quickest(group, 10.0, Random(1)).standing.name == "slow"


def test_one_that_was_never_measured_is_tried() -> None:
    group = members("known", "new")
    group[0].standing.ewma.note(10.0, 0.2)
    assert quickest(group, 10.0, Random(1)).standing.name == "new"


def test_the_cheapest_comes_first_and_the_unpriced_last() -> None:
    prices = {"a": 3.0, "b": None, "c": 1.0, "d": 1.0}

    def price(spec: AnyUpstream, model: str) -> float | None:
        assert model == "m"
        return prices[spec.name]

    assert [m.standing.name for m in by_price(members(*"abcd"), "m", price)] == ["c", "d", "a", "b"]


# Sticking


@given(NAMES, WEIGHTS, st.text(max_size=20), st.integers(0, 5))
def test_taking_one_away_moves_nobody_else(names: list[str], weights: list[float], key: str, gone: int) -> None:
    pairs = list(zip(names, weights, strict=False))
    ranked = [pairs[n][0] for n in order(key, pairs)]
    away = names[gone % len(names)]
    left = [pair for pair in pairs if pair[0] != away]
    assert [left[n][0] for n in order(key, left)] == [name for name in ranked if name != away]


@given(st.text(max_size=50), st.text(max_size=50))
def test_places_lie_inside_and_words_do_not_run_together(one: str, other: str) -> None:
    assert 0 < place(one, other) < 1
    assert place("ab", "c") != place("a", "bc")


def test_keys_spread_by_weight() -> None:
    pairs = [("a", 3.0), ("b", 1.0)]
    came = Counter(order(f"key {n}", pairs)[0] for n in range(8000))
    assert 0.73 < came[0] / 8000 < 0.77


@settings(max_examples=50)
@given(st.text(max_size=10), st.lists(st.integers(0, 20), min_size=4, max_size=4), st.floats(1, 3))
def test_nobody_gets_far_more_than_its_share(key: str, busy: list[int], spread: float) -> None:
    group = members(*"abcd")
    for member, under_way in zip(group, busy, strict=True):
        member.standing.gate.busy = under_way
    found = chosen(key, group, group, spread).standing.gate.busy + 1
    assert found <= ceil(spread * (sum(busy) + 1) / 4)


def test_a_key_comes_home_when_its_upstream_does() -> None:
    group = members(*"abcd")
    home = chosen("k", group, group, 1.25)
    others = [member for member in group if member is not home]
    away = chosen("k", group, others, 1.25)
    assert away is not home
    assert chosen("k", group, group, 1.25) is home
