"""Server-sent events: whatever way the bytes are cut, the same events, and every byte in one of them."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.wire import sse
from gateway.wire.sse import Decoder, Event

SCRAPS = (
    b"data",
    b":",
    b" ",
    b"x",
    b"\n",
    b"\n\n",
    b"\r",
    b"\r\n",
    b": ping",
    b"event: e\n",
    b"id:1\r\n",
    b"\xef\xbb\xbf",
)
streams = st.lists(st.sampled_from(SCRAPS), max_size=30).map(b"".join)
cuts = st.lists(st.integers(min_value=0, max_value=200), max_size=12)


def decoded(raw: bytes, where: list[int]) -> list[Event]:
    decoder = Decoder()
    marks = sorted({0, len(raw), *(min(c, len(raw)) for c in where)})
    return [e for a, b in pairwise(marks) for e in decoder.feed(raw[a:b])] + decoder.finish()


@given(streams, cuts)
@example(b"data: x\r\n\r\n\n", [10])
@example(b"data: x\r\r\ndata: y\r\r", [8, 9])
@example(b"\xef\xbb\xbfdata: x\n\n", [1, 2])
def test_events_do_not_depend_on_how_the_bytes_are_cut(raw: bytes, where: list[int]) -> None:
    assert decoded(raw, where) == decoded(raw, [])
    assert decoded(raw, list(range(len(raw)))) == decoded(raw, [])


@given(st.binary(max_size=200) | streams, cuts)
def test_every_byte_is_in_exactly_one_event_in_order(raw: bytes, where: list[int]) -> None:
    assert b"".join(e.raw for e in decoded(raw, where)) == raw


@pytest.mark.parametrize(
    ("raw", "data"),
    [
        (b"data: x\n\n", [b"x"]),
        (b"data:x\n\n", [b"x"]),
        (b"data:  x\n\n", [b" x"]),
        (b"data: x\r\n\r\n", [b"x"]),
        (b"data: x\r\rdata: y\r\r", [b"x", b"y"]),
        (b"data: x\n\r\ndata: y\r\n\n", [b"x", b"y"]),
        (b"data: a\ndata: b\r\ndata: c\n\n", [b"a\nb\nc"]),
        (b"data\ndata\n\n", [b"\n"]),
        (b"\xef\xbb\xbfdata: x\n\n", [b"x"]),
        (b"event: e\nid: 7\ndata: x\n\n", [b"x"]),
        (b"dataset: x\n\n", [b""]),
        (b": comment\n\n", [b""]),
        (b"\n\ndata: x\n\n", [b"", b"x"]),
        (b"data: [DONE]\n\n", [sse.DONE]),
        (b"data: {}\n\ndata: cut off", [b"{}", b"cut off"]),
    ],
)
def test_data_is_what_the_standard_says(raw: bytes, data: list[bytes]) -> None:
    assert [e.data for e in decoded(raw, [])] == data


def test_what_is_not_data_is_kept_apart_from_it() -> None:
    (event,) = decoded(b": note\r\nevent: e\r\ndata: x\r\nretry: 5\r\n\r\n", [])
    assert (event.data, event.other) == (b"x", b": note\nevent: e\nretry: 5\n")
    assert sse.parsed(sse.encoded(b"new", event.other)).other == event.other


@given(st.binary(max_size=50).filter(lambda b: b"\r" not in b))
def test_what_was_encoded_is_decoded(data: bytes) -> None:
    assert [e.data for e in decoded(sse.encoded(data), [])] == [data]


def test_a_blank_line_is_not_waited_for_when_it_is_there() -> None:
    decoder = Decoder()
    assert [e.data for e in decoder.feed(b"data: x\n\n")] == [b"x"]
    assert [e.data for e in decoder.feed(b"data: y\r\n\r\n")] == [b"y"]
    assert [e.data for e in decoder.feed(b"data: z\r\r")] == []  # the next byte may be the LF of a CRLF
    assert [e.data for e in decoder.feed(b"d")] == [b"z"]


def test_a_large_event_in_small_pieces_takes_linear_time() -> None:
    raw = b"data: " + b"x" * (5 * 1024 * 1024) + b"\n\n"
    decoder = Decoder()
    began = time.process_time()
    events = [e for at in range(0, len(raw), 1024) for e in decoder.feed(raw[at : at + 1024])]
    assert [len(e.data) for e in events] == [5 * 1024 * 1024]
    assert time.process_time() - began < 1.5  # quadratic, it would be ten times that


def test_an_event_without_end_is_refused() -> None:
    decoder = Decoder()
    for _ in range(8):
        assert decoder.feed(b"x" * (sse.MAX_EVENT // 8)) == []
    with pytest.raises(sse.Oversized):
        decoder.feed(b"x")
