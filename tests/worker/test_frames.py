from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import errors
from gateway.errors import ConfigError, Problem, TidegateError, UpstreamTimeout, WorkerFault
from gateway.worker import frames
from gateway.worker.frames import Decoder, Fault, Garbled, Message, encode

numbers = st.integers(0, 2**53)
words = st.text(max_size=20)
json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4),
    max_leaves=10,
)
seconds = st.floats(0, 1e9)
asking: st.SearchStrategy[Message] = st.one_of(
    st.builds(frames.Call, numbers, words, json, seconds, numbers),
    st.builds(frames.Stream, numbers, words, json, seconds, numbers, numbers),
    st.builds(frames.Credit, numbers, numbers),
    st.builds(frames.Cancel, numbers),
)
answering: st.SearchStrategy[Message] = st.one_of(
    st.builds(frames.Hello, numbers),
    st.builds(frames.Result, numbers, json),
    st.builds(frames.Item, numbers, json),
    st.builds(frames.End, numbers),
    st.builds(Fault, numbers, words, words, st.none() | words, st.none() | words, st.none() | seconds),
)
Form = Callable[[Any], Message | None]
Talk = tuple[Form, list[Message]]
talks: st.SearchStrategy[Talk] = st.tuples(st.just(frames.asked), st.lists(asking, max_size=5)) | st.tuples(
    st.just(frames.answered), st.lists(answering, max_size=5)
)


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in pairwise(places)]


def decoded(form: Form, chunks: list[bytes]) -> tuple[list[Message], bool]:
    """What came out, and whether it ended in garbage."""
    decoder: Decoder[Message] = Decoder(form)
    out: list[Message] = []
    try:
        for chunk in chunks:
            out.extend(decoder.feed(chunk))
    except Garbled:
        return out, True
    return out, False


@given(talks, st.lists(st.integers(0)))
def test_what_is_encoded_is_decoded_however_the_bytes_are_split(talk: Talk, cuts: list[int]) -> None:
    form, sent = talk
    data = b"".join(map(encode, sent))
    assert decoded(form, split(data, cuts)) == (sent, False)


@given(talks, st.binary(max_size=40), st.lists(st.integers(0)))
def test_garbage_is_found_at_the_same_place_however_the_bytes_are_split(
    talk: Talk, garbage: bytes, cuts: list[int]
) -> None:
    form, sent = talk
    data = b"".join(map(encode, sent)) + garbage
    out, broken = decoded(form, [data])
    assert out[: len(sent)] == sent
    assert decoded(form, split(data, cuts)) == (out, broken)


@given(asking, answering)
def test_neither_side_understands_its_own_messages(ask: Message, answer: Message) -> None:
    assert decoded(frames.answered, [encode(ask)]) == ([], True)
    assert decoded(frames.asked, [encode(answer)]) == ([], True)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"1",
        b'"call"',
        b'{"call":1}',
        b'["call"]',
        b'["call","1","m",null,1.0,0]',
        b'["call",1,2,null,1.0,0]',
        b'["call",1,"m",null,null,0]',
        b'["fault",1,"WorkerFault","m",null,null,null]',
        b'["shutdown",1]',
        b"\xff\xfe",
        b"[" * 5000,
    ],
)
def test_a_body_that_is_no_message_is_garbled_and_stays_so(body: bytes) -> None:
    decoder = Decoder(frames.asked)
    with pytest.raises(Garbled):
        list(decoder.feed(len(body).to_bytes(4, "big") + body))
    with pytest.raises(Garbled):
        list(decoder.feed(encode(frames.Cancel(1))))


def test_a_length_beyond_the_limit_is_refused_before_it_is_collected() -> None:
    with pytest.raises(Garbled):
        list(Decoder(frames.asked).feed((frames.MAX + 1).to_bytes(4, "big")))


def test_half_a_frame_is_no_message_yet() -> None:
    decoder = Decoder(frames.answered)
    data = encode(frames.Result(1, "x" * 100))
    assert list(decoder.feed(data[:50])) == []
    assert list(decoder.feed(data[50:])) == [frames.Result(1, "x" * 100)]


@pytest.mark.parametrize("payload", [object(), b"bytes", {1, 2}, 1 << 80, {1: 2}, "\ud800", "x" * frames.MAX])
def test_what_json_cannot_hold_is_refused_without_being_shown(payload: Any) -> None:
    with pytest.raises(Garbled) as caught:
        encode(frames.Result(1, payload))
    assert "xx" not in caught.value.message
    assert "bytes'" not in caught.value.message


OURS = [
    e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, TidegateError) and e is not ConfigError
]


@pytest.mark.parametrize("error", OURS)
def test_our_own_errors_travel_as_themselves(error: type[TidegateError]) -> None:
    fault = Fault.of(1, error("what, where, what to do", param="model", retry_after=1.5))
    (back,) = Decoder(frames.answered).feed(encode(fault))
    assert isinstance(back, Fault)
    raised = back.raised()
    assert type(raised) is error
    assert (raised.message, raised.param, raised.retry_after) == ("what, where, what to do", "model", 1.5)
    assert raised.code == error.code


def test_a_class_of_an_engine_travels_as_the_nearest_of_ours_with_its_code() -> None:
    class Throttled(UpstreamTimeout):
        code = "throttled"

    raised = Fault.of(1, Throttled("later")).raised()
    assert type(raised) is UpstreamTimeout
    assert raised.code == "throttled"
    assert UpstreamTimeout("other").code == "upstream_timeout"


def test_of_any_other_error_only_the_class_is_told() -> None:
    raised = Fault.of(1, ValueError("the prompt")).raised()
    assert type(raised) is WorkerFault
    assert raised.message == "engine raised ValueError"


def test_a_list_of_problems_travels_as_its_message() -> None:
    raised = Fault.of(1, ConfigError([Problem("a.yaml", 3, "no such guard")])).raised()
    assert raised.message == "a.yaml:3: no such guard"


@pytest.mark.parametrize("name", ["object", "Problem", "annotations", "__builtins__", "ConfigError", "nonsense"])
def test_a_fault_can_only_name_an_error_of_ours(name: str) -> None:
    assert type(Fault(1, name, "m").raised()) is WorkerFault
