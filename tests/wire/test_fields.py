"""Reading an object field by field: nothing slips through."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import NotSupported, RequestError, TidegateError, Unprocessable
from gateway.wire.fields import Fields


@given(st.dictionaries(st.text(max_size=8), st.integers(), max_size=5), st.sets(st.text(max_size=8), max_size=5))
def test_whatever_was_not_taken_is_refused_by_name(value: dict[str, int], taken: set[str]) -> None:
    fields = Fields(value, "at")
    fields.drop(*taken)
    left = value.keys() - taken
    if not left:
        fields.close()
        return
    with pytest.raises(Unprocessable) as refused:
        fields.close()
    assert refused.value.param in {f"at.{key}" for key in left}


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        ("text", 1),
        ("texts", ["a", 1]),
        ("texts", "a"),
        ("array", {}),
        ("table", []),
        ("inner", "x"),
        ("number", "1"),
        ("number", True),
        ("count", 1.5),
        ("count", True),
        ("switch", 1),
    ],
)
def test_a_wrong_type_is_the_clients_doing_and_named(kind: str, wrong: Any) -> None:
    with pytest.raises(RequestError) as refused:
        getattr(Fields({"key": wrong}, "a[0]"), kind)("key")
    assert (refused.value.status, refused.value.param) == (400, "a[0].key")


@pytest.mark.parametrize("kind", ["text", "texts", "array", "table", "inner", "number", "count", "switch", "only"])
def test_null_stands_for_absent(kind: str) -> None:
    fields = Fields({"key": None})
    assert getattr(fields, kind)("key") is None
    fields.close()
    with pytest.raises(RequestError, match="'key' is missing"):
        fields.need("key", None)


def test_a_field_that_says_what_holds_anyway_is_welcome_and_no_other() -> None:
    assert Fields({"key": "plain"}).only("key", "plain") == "plain"
    with pytest.raises(NotSupported) as refused:
        Fields({"key": "other"}).only("key", "plain", why="for a reason")
    assert refused.value.message == "'key' is not supported here: for a reason."
    assert (refused.value.status, refused.value.param) == (501, "key")


def test_what_is_no_object_has_no_fields() -> None:
    with pytest.raises(RequestError, match="must be an object, not an array"):
        Fields([], "a")


def test_a_message_repeats_little_of_what_the_client_wrote() -> None:
    with pytest.raises(TidegateError) as refused:
        Fields({"x" * 10_000: 1}).close()
    assert len(refused.value.message) < 200
