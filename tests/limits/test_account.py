"""One key's account: nothing passes that the rule does not allow, and what is settled is what was used."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.accounts import DAY_S, Played, at, needs, rules, steps

from gateway.limits import account
from gateway.limits.account import Now
from gateway.limits.rule import Denial, Need, Rule, Standing


def row(columns: int = 2) -> list[int]:
    return [0] * account.size(columns)


@given(rules, steps)
def test_no_sixty_seconds_ever_see_more_than_the_rule_allows(
    rule: Rule, played: list[tuple[float, bool, Need]]
) -> None:
    key = Played(rule)
    for pause, asks, amount in played:
        refused = key.step(pause, asks, amount)
        if not asks or refused:
            continue
        assert rule.requests is None or key.minute() <= rule.requests
        assert rule.tokens is None or key.tokens() <= rule.tokens
        assert rule.parallel is None or len(key.under_way) <= rule.parallel
        assert rule.day is None or key.money() <= rule.day
        assert rule.month is None or key.money(30) <= rule.month


@given(rules, steps)
def test_what_is_refused_would_have_been_too_much(rule: Rule, played: list[tuple[float, bool, Need]]) -> None:
    """Within the second by which the window is counted."""
    key = Played(rule)
    for pause, asks, amount in played:
        denial = key.step(pause, asks, amount)
        if denial is None:
            continue
        match denial.reason:
            case "requests":
                assert rule.requests is not None
                assert sum(key.clock - when < 61 for when in key.admitted) >= rule.requests
            case "tokens":
                assert rule.tokens is not None
                assert key.tokens(61) + amount.tokens > rule.tokens
            case "parallel":
                assert rule.parallel is not None
                assert len(key.under_way) >= rule.parallel
            case "day":
                assert rule.day is not None
                assert key.money() + amount.nano > rule.day
            case "month":
                assert rule.month is not None
                assert key.money(30) + amount.nano > rule.month


@given(rules, steps)
def test_after_the_wait_it_is_told_a_request_passes_where_nothing_else_happens(
    rule: Rule, played: list[tuple[float, bool, Need]]
) -> None:
    key = Played(rule)
    for pause, asks, amount in played:
        denial = key.step(pause, asks, amount)
        if denial is not None and denial.wait is not None and not key.under_way:
            again = key.step(denial.wait, True, amount)
            assert again is None or again.reason != denial.reason


@given(rules, steps)
def test_settling_conserves(rule: Rule, played: list[tuple[float, bool, Need]]) -> None:
    """When everything has ended nothing is reserved, and the account has what was used and nothing else."""
    key = Played(rule)
    for pause, asks, amount in played:
        key.step(pause, asks, amount)
    for need in [*key.under_way]:
        key.step(0.0, False, need)
    cells = key.row
    reserved = [cells[n] for n in (account.PARALLEL, account.HELD_TOKENS, account.HELD_NANO)]
    column = [cells[n] for n in range(account.COLUMNS, account.size(2))]
    assert reserved == [0, 0, 0]
    assert column == [0] * 6
    account.reserve(cells, 0, at(key.clock), Rule(requests=0), Need())
    ring = range(account.RING, account.RING + account.SLOTS)
    assert cells[account.REQUESTS] == sum(cells[n] for n in ring)
    assert cells[account.TOKENS] == sum(cells[n + account.SLOTS] for n in ring)
    assert key.tokens() <= cells[account.TOKENS] <= key.tokens(61)
    if key.used and key.clock // DAY_S == key.used[-1][0] // DAY_S:
        assert cells[account.DAY_NANO] == key.money()


@given(st.lists(st.tuples(st.integers(0, 1), needs), max_size=12))
def test_what_a_process_that_died_had_reserved_is_charged_and_nobody_elses(asked: list[tuple[int, Need]]) -> None:
    cells = row()
    for column, need in asked:
        assert account.reserve(cells, column, at(5.0), Rule(), need) is None
    account.abandon(cells, 0, at(6.0))
    lost = [need for column, need in asked if column == 0]
    kept = [need for column, need in asked if column == 1]
    assert cells[account.TOKENS] == sum(need.tokens for need in lost)
    assert cells[account.MONTH_NANO] == cells[account.DAY_NANO] == sum(need.nano for need in lost)
    assert cells[account.HELD_TOKENS] == sum(need.tokens for need in kept)
    assert cells[account.HELD_NANO] == sum(need.nano for need in kept)
    assert cells[account.PARALLEL] == len(kept)
    before = [*cells]
    account.abandon(cells, 0, at(6.0))
    assert cells == before


def test_a_wall_clock_that_goes_back_opens_nothing() -> None:
    cells, rule = row(), Rule(day=10, month=10)
    assert account.reserve(cells, 0, Now(1.0, 20_000, 700), rule, Need(0, 10)) is None
    account.settle(cells, 0, Now(1.0, 20_000, 700), Need(0, 10), Need(0, 10))
    assert account.reserve(cells, 0, Now(2.0, 19_000, 650), rule, Need(0, 1)) == Denial("month", None)
    assert account.reserve(cells, 0, Now(2.0, 20_001, 701), rule, Need(0, 1)) is None


def test_a_new_day_begins_with_what_is_still_under_way() -> None:
    cells, rule = row(), Rule(day=10)
    assert account.reserve(cells, 0, Now(1.0, 1, 1, 5.0), rule, Need(0, 6)) is None
    assert account.reserve(cells, 0, Now(2.0, 1, 1, 4.0), rule, Need(0, 5)) == Denial("day", 4.0)
    assert account.reserve(cells, 0, Now(7.0, 2, 1, 86_399.0), rule, Need(0, 5)) == Denial("day", 86_399.0)
    account.settle(cells, 0, Now(8.0, 2, 1), Need(0, 6), Need(0, 2))
    assert account.reserve(cells, 0, Now(8.0, 2, 1), rule, Need(0, 8)) is None


@pytest.mark.parametrize(
    ("rule", "need", "denial"),
    [
        (Rule(tokens=10), Need(11, 0), Denial("tokens", None)),
        (Rule(day=10), Need(0, 11), Denial("day", None)),
        (Rule(month=10), Need(0, 11), Denial("month", None)),
        (Rule(tokens=10, month=1), Need(11, 2), Denial("month", None)),
    ],
)
def test_what_can_never_be_is_told_so(rule: Rule, need: Need, denial: Denial) -> None:
    assert account.reserve(row(), 0, Now(5.0, 1, 1, 100.0), rule, need) == denial


def test_what_is_left_is_told() -> None:
    cells, rule = row(), Rule(requests=5, tokens=100)
    assert account.standing(cells, Now(0.5), rule) == Standing(5, 100, 0.0, 0.0)
    account.reserve(cells, 0, Now(100.5), rule, Need(30))
    assert account.standing(cells, Now(100.5), rule) == Standing(4, 70, 60.5, 61)
    account.settle(cells, 0, Now(110.0), Need(30), Need(12))
    assert account.standing(cells, Now(110.0), rule) == Standing(4, 88, 51.0, 61.0)
    account.reserve(cells, 0, Now(161.0), Rule(requests=0), Need())
    assert account.standing(cells, Now(161.0), rule) == Standing(5, 88, 0.0, 10.0)
