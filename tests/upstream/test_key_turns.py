"""Keys used in turn, and set aside."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.keys import REFUSED_S, Keys
from gateway.upstream.patience import LONGEST_S, retry_after


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


STEPS = st.lists(
    st.tuples(st.sampled_from(("ok", "limited", "revoked")), st.floats(0, 400), st.none() | st.floats(0, 600)),
    max_size=40,
)


@given(st.integers(2, 5), STEPS)
def test_a_key_set_aside_is_asked_only_where_all_are(count: int, steps: list[tuple[str, float, float | None]]) -> None:
    clock, until = Clock(), [0.0] * count
    keys = Keys(count, clock)
    for what, passes, wait in steps:
        clock.now += passes
        key = keys.take()
        assert key is not None
        assert until[key] <= clock.now or until[key] == min(until)
        if what != "ok":
            keys.refused(key, 429 if what == "limited" else 401, wait)
            rest = (10.0 if wait is None else wait) if what == "limited" else REFUSED_S
            until[key] = clock.now + rest


@given(st.integers(1, 6), st.integers(1, 50))
def test_all_keys_have_the_same_turns(count: int, rounds: int) -> None:
    keys = Keys(count, Clock())
    taken = [keys.take() for _ in range(count * rounds)]
    assert [taken.count(key) for key in range(count)] == [rounds] * count


@given(st.integers(1, 5))
def test_no_key_is_tried_twice_for_one_request(count: int) -> None:
    keys, tried = Keys(count, Clock()), list[int]()
    while (key := keys.take(tried)) is not None:
        keys.refused(key, 401, None)
        tried.append(key)
    assert sorted(tried) == list(range(count))


# What servers say of when to ask again


def said(**headers: str) -> float | None:
    return retry_after(lambda name: headers.get(name.replace("-", "_"), ""), lambda: 1_700_000_000.0)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("1.5", 1.5),
        ("Tue, 14 Nov 2023 22:13:30 GMT", 10.0),
        ("Tue, 14 Nov 2000 22:13:30 GMT", 0.0),
        ("9" * 12, LONGEST_S),
        ("inf", LONGEST_S),
        ("", None),
        ("-3", None),
        ("nan", None),
        ("soon", None),
        ("9" * 400, None),
        ("Tue, 99 Nov 99999 22:13:30 GMT", None),
    ],
)
def test_seconds_and_dates_are_understood_and_nonsense_is_not(value: str, seconds: float | None) -> None:
    assert said(retry_after=value) == seconds


def test_milliseconds_go_first() -> None:
    assert said(retry_after="1", retry_after_ms="250") == 0.25


@given(st.text(max_size=80))
def test_no_header_is_believed_beyond_an_hour(value: str) -> None:
    found = retry_after(lambda _: value, time.time)
    assert found is None or 0 <= found <= LONGEST_S
