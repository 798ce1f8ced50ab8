from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.logprobs import TOP, tokens


def chat(*content: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "logprobs": {"content": list(content)}}]}


def test_a_chat_answer_tells_the_chosen_token_and_its_rivals() -> None:
    said = chat(
        {"token": "a", "logprob": -0.5, "top_logprobs": [{"logprob": -0.5}, {"token": "b", "logprob": -2}]},
        {"token": "c", "logprob": -9999.0, "top_logprobs": []},
    )
    assert tokens(said) == [(-0.5, -0.5, -2.0), (-9999.0,)]


def test_a_completion_tells_the_same_in_its_own_way() -> None:
    told = {"tokens": ["a", "b"], "token_logprobs": [None, -1.5], "top_logprobs": [None, {"b": -1.5, "c": -2.5}]}
    assert tokens({"choices": [{"index": 0, "logprobs": told}]}) == [(-1.5, -1.5, -2.5)]


def test_only_the_first_choice_counts() -> None:
    second = {"index": 1, "logprobs": {"content": [{"logprob": -1.0}]}}
    assert tokens({"choices": [second]}) == []
    assert tokens({"choices": [second, *chat({"logprob": -2.0})["choices"]]}) == [(-2.0,)]


@pytest.mark.parametrize("odd", [None, "x", True, float("nan"), [], {}, 3.0])
def test_what_is_no_log_probability_is_left_out(odd: Any) -> None:
    rival = [{"logprob": odd}, {"logprob": -1.0}, odd]
    assert tokens(chat({"logprob": odd}, odd, {"logprob": -1.0, "top_logprobs": rival})) == [(-1.0, -1.0)]


def test_no_more_rivals_are_kept_than_the_api_gives() -> None:
    assert len(tokens(chat({"logprob": -1.0, "top_logprobs": [{"logprob": -2.0}] * 1000}))[0]) == 1 + TOP


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["choices", "index", "logprobs", "content", "logprob", "top_logprobs", "token_logprobs", "x"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(["choices", "x"]), JSON))
def test_whatever_an_upstream_writes_is_read_without_a_fault(body: dict[str, Any]) -> None:
    assert all(type(value) is float for token in tokens(body) for value in token)
