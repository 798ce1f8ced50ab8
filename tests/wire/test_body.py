"""JSON bodies: what two readers could read differently is refused; what nobody changed keeps its bytes."""

from __future__ import annotations

import json
import time
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.errors import RequestError
from gateway.wire import body as json_body
from gateway.wire.body import MAX_DEPTH, Unreadable

KEYS = ("model", "a", "a\\", '"', ":", "", "é", "content")
STRINGS = (*KEYS, '":', '\\":', ": x", ' " : ', '{"model":"x"}', "\\\\", "\n", "\U0001f600")
leaves = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.sampled_from(STRINGS)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(st.sampled_from(KEYS), values, max_size=5)
spellings = st.sampled_from(
    (
        {"separators": (",", ":")},
        {"indent": 1},
        {"ensure_ascii": False},
        {"separators": (" , ", "\t:\n ")},
    )
)


@given(objects, spellings)
def test_a_body_is_read_however_it_is_spelled(body: dict[str, Any], spelling: dict[str, Any]) -> None:
    assert json_body.read(json.dumps(body, **spelling).encode()) == body


@st.composite
def twins(draw: st.DrawFn) -> str:
    """An object that has a key twice, somewhere inside another value."""
    key = draw(st.sampled_from(KEYS))
    again = draw(st.sampled_from((json.dumps(key), '"' + "".join(f"\\u{ord(c):04x}" for c in key) + '"')))
    others = [f"{json.dumps(k)}:{json.dumps(draw(values))}" for k in draw(st.sets(st.sampled_from(KEYS))) - {key}]
    members = [*others, f"{json.dumps(key)} :1", f"{again}:{json.dumps(draw(values))}"]
    inner = "{" + ",".join(draw(st.permutations(members))) + "}"
    return draw(st.sampled_from(('{"x":[%s]}', '{"x":{"y":%s}}', "%s", '{"x":":","y":%s}'))) % inner


@given(twins())
@example('{"a\\\\":1,"model":"x","model":"y"}')
@example('{"x":":","model":1,"a\\\\":2,"model":3}')
@example('{"m":"\\\\","model":1,"model":":"}')
def test_a_key_that_stands_twice_is_refused(raw: str) -> None:
    with pytest.raises(RequestError, match="twice"):
        json_body.read(raw.encode())


WHOLE = '{"model":"é\\n","messages":[{"role":"user","n":[1.50,-2e3,null,true]}]}'.encode()


@pytest.mark.parametrize("length", range(len(WHOLE)))
def test_a_body_cut_anywhere_is_refused(length: int) -> None:
    with pytest.raises(RequestError):
        json_body.read(WHOLE[:length])


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" \r\n",
        b"\xef\xbb\xbf{}",
        b"{}{}",
        b"{} junk",
        b"[]",
        b"null",
        b'"text"',
        b"7",
        b"{'a':1}",
        b'{"a":1,}',
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":1e999}',
        b'{"a":01}',
        b'{"a":"\xff"}',
        b'{"a":"\xc0\xaf"}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\\ud800"}',
        b'{"a":"\x00"}',
        b'{"a":"\n"}',
        b'{"a":/**/1}',
        '{"a":1}'.encode("utf-16"),
        '{"a":1}'.encode("utf-32-le"),
        b'{"a":' + b"9" * 5000 + b"}",
        b'{"a":' * 5000 + b"1" + b"}" * 5000,
        b"[" * 100_000,
    ],
)
def test_what_is_not_one_json_object_is_refused_without_being_quoted(raw: bytes) -> None:
    with pytest.raises(RequestError) as refused:
        json_body.read(raw)
    assert refused.value.status == 400
    assert "junk" not in refused.value.message


@pytest.mark.parametrize("number", [b"18446744073709551616", b"9" * 300, b"-0", b"1.0", b"1E2"])
def test_odd_numbers_are_left_to_the_upstream(number: bytes) -> None:
    raw = b'{":":":","n":' + number + b"}"  # the colons make it be read twice
    assert set(json_body.read(raw)) == {":", "n"}


def test_nesting_ends_somewhere() -> None:
    def nested(depth: int) -> bytes:
        return b'{"a":' * depth + b"1" + b"}" * depth

    assert json_body.read(nested(MAX_DEPTH))
    with pytest.raises(RequestError, match="deeper"):
        json_body.read(nested(MAX_DEPTH + 1))
    with pytest.raises(RequestError, match="deeper"):
        json_body.read(b'{"a":":","b":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}")


def test_a_megabyte_of_backslashes_or_quotes_takes_linear_time() -> None:
    began = time.process_time()
    for text in ("\\" * 1_000_000, '"' * 1_000_000, '\\":' * 300_000, " " * 1_000_000 + ":"):
        assert json_body.read(orjson.dumps({"a": text})) == {"a": text}
    assert time.process_time() - began < 5


# Answers


def test_half_a_surrogate_pair_of_an_upstream_is_kept_and_can_be_sent() -> None:
    body = json_body.answer(b'{"a":"\\ud83d"}')
    assert body == {"a": "\ud83d"}
    assert json_body.answer(json_body.encoded(body)) == body


@pytest.mark.parametrize("raw", [b"", b"null", b"[]", b"<html>", b'{"a":', b"\xff", b"[" * 100_000])
def test_an_answer_that_is_no_object_is_unreadable(raw: bytes) -> None:
    with pytest.raises(Unreadable):
        json_body.answer(raw)


# Walking and rewriting


def at(value: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        value = value[step]
    return value


@given(values)
def test_every_string_is_found_where_it_stands(value: Any) -> None:
    found = json_body.strings(value)
    assert all(at(value, path) == text for path, text in found)
    assert len(set(found)) == len(found)
    assert [text for _, text in found] == _leaves(value)
    assert json_body.keys(value) == set(_names(value))


def _leaves(value: Any) -> list[str]:
    match value:
        case str():
            return [value]
        case dict():
            return [leaf for item in value.values() for leaf in _leaves(item)]
        case list():
            return [leaf for item in value for leaf in _leaves(item)]
    return []


def _names(value: Any) -> list[str]:
    match value:
        case dict():
            return [*value, *(name for item in value.values() for name in _names(item))]
        case list():
            return [name for item in value for name in _names(item)]
    return []


@given(objects, st.data())
def test_rewriting_changes_what_it_names_and_shares_nothing_it_changes(
    body: dict[str, Any], data: st.DataObject
) -> None:
    found = json_body.strings(body)
    chosen = [(path, f"new {n}") for n, (path, _) in enumerate(found) if data.draw(st.booleans())]
    before = json.dumps(body)
    out = json_body.rewritten(body, chosen)
    assert json.dumps(body) == before
    assert dict(json_body.strings(out)) == dict(found) | dict(chosen)


def test_strings_nested_too_deep_are_not_walked() -> None:
    value: Any = "x"
    for _ in range(5000):
        value = [value]
    with pytest.raises(Unreadable):
        json_body.strings({"a": value})


NEW = st.sampled_from(("gpt", 'a"b', "é", {"include_usage": True, "x": [1]}, True))
SPELT = ('"old"', '"\\u006fld"', "1.50", "null", '{ "include_usage" : false }', '["model","x"]', '":"', '"a\\\\"')


@given(
    st.lists(st.tuples(st.sampled_from(("a", "x", "stream_options")), st.sampled_from(SPELT)), max_size=3),
    st.sampled_from(SPELT),
    st.sampled_from(('"model"', '"mod\\u0065l"')),
    st.integers(0, 3),
    NEW,
    st.sampled_from(("%s:%s", " %s : %s ", "\r\n%s\t:%s")),
)
@example([("x", '{"model":"old"}')], '"old"', '"mod\\u0065l"', 1, "gpt", "%s:%s")
@example([("x", '{"model":"old"}')], "7", '"model"', 0, "gpt", "%s:%s")
def test_a_field_is_spliced_and_every_other_byte_stays(
    others: list[tuple[str, str]], old: str, key: str, place: int, new: Any, form: str
) -> None:
    unique = {name: f"{json.dumps(name)}:{value}" for name, value in others}
    members = [*unique.values()]
    members.insert(place, form % (key, old))
    raw = " {" + ",".join(members) + "} "
    members[min(place, len(unique))] = form % (key, orjson.dumps(new).decode())
    body = json_body.read(raw.encode())
    if body["model"] != new:
        assert json_body.spliced(raw.encode(), body, "model", new).decode() == " {" + ",".join(members) + "} "


@given(objects.filter(lambda body: "new" not in body), spellings, NEW)
def test_a_field_that_is_new_is_put_in_front(body: dict[str, Any], spelling: dict[str, Any], new: Any) -> None:
    raw = json.dumps(body, **spelling).encode()
    out = json_body.spliced(raw, body, "new", new)
    assert json_body.read(out) == {"new": new, **body}
    assert out.endswith(raw[1:])
