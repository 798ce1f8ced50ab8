"""What may be said of an answer, and in which words."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import RequestError, Unprocessable
from gateway.http.feedback import CORRECTION, read

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
FIELDS = st.sampled_from(["id", "name", "value", "label", "correction", "comment", "source", "more"])


def told(**said: Any) -> dict[str, Any]:
    ident, found = read(orjson.dumps({"id": "chatcmpl-1", **said}))
    assert ident == "chatcmpl-1"
    return found


@pytest.mark.parametrize(
    ("value", "as_"), [(True, 1.0), (False, 0.0), ("up", 1.0), ("down", 0.0), (0.25, 0.25), (1, 1.0)]
)
def test_a_value_is_a_number_from_0_to_1(value: object, as_: float) -> None:
    assert told(value=value)["value"] == as_


@pytest.mark.parametrize(
    ("said", "param"),
    [
        ({"value": 1.5}, "value"),
        ({"value": "great"}, "value"),
        ({"value": 1, "label": "two words"}, "label"),
        ({"value": 1, "label": "kim@example.com"}, "label"),
        ({"value": 1, "name": "n" * 65}, "name"),
        ({"value": 1, "source": "boss"}, "source"),
        ({"value": 1, "id": "two words"}, "id"),
        ({"value": 1, "id": None}, "id"),
        ({"correction": "x" * (CORRECTION + 1)}, "correction"),
        ({"correction": ["x"]}, "correction"),
        ({"value": 1, "rating": 5}, "rating"),
        ({}, None),
        ({"comment": ""}, None),
    ],
)
def test_what_says_nothing_or_something_else_is_unprocessable(said: dict[str, Any], param: str | None) -> None:
    with pytest.raises(Unprocessable) as refused:
        told(**said)
    assert (refused.value.status, refused.value.param) == (422, param)


def test_what_is_no_json_is_a_bad_request() -> None:
    with pytest.raises(RequestError) as refused:
        read(b"{")
    assert refused.value.status == 400


@given(st.dictionaries(FIELDS, JSON))
def test_whatever_is_said_is_taken_or_refused(said: dict[str, Any]) -> None:
    try:
        _, found = read(orjson.dumps(said))
    except RequestError:
        return
    assert found["value"] is None or 0 <= found["value"] <= 1
    assert all(" " not in found[name] and "@" not in found[name] for name in ("name", "label", "source"))
