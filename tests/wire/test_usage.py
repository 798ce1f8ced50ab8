"""Token counts: what can be believed is taken, the rest is nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.usage import Counts, counts

WHOLE = {
    "prompt_tokens": 10,
    "completion_tokens": 5,
    "total_tokens": 15,
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 2},
}


def test_classes_are_told_apart() -> None:
    assert counts(WHOLE) == Counts(input=10, cached=4, output=5, reasoning=2)


def test_zero_is_a_count() -> None:
    assert counts({"prompt_tokens": 7, "completion_tokens": 0}) == Counts(7, 0, 0, 0)


def test_half_of_it_is_better_than_nothing() -> None:
    assert counts({"prompt_tokens": 7}) == Counts(7, 0, 0, 0)


@pytest.mark.parametrize("odd", ["12", -1, 1.5, 1e18, 10**18, True, None, [], {}])
def test_what_is_no_count_is_not_believed(odd: Any) -> None:
    assert counts({"prompt_tokens": odd, "completion_tokens": odd}) is None
    details = {"prompt_tokens_details": {"cached_tokens": odd}, "completion_tokens_details": odd}
    assert counts({**WHOLE, **details}) == Counts(10, 0, 5, 0)


@given(
    st.recursive(
        st.none() | st.integers() | st.text() | st.floats(),
        lambda inner: st.dictionaries(st.sampled_from((*WHOLE, "cached_tokens", "reasoning_tokens")), inner),
    )
)
def test_nothing_an_upstream_says_breaks_the_counting(usage: Any) -> None:
    found = counts(usage)
    assert found is None or all(0 <= count <= 1_000_000_000 for count in found[:-1])
