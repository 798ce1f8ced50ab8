"""What is taken of a client's trace context, and what upstreams are told."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.wire import trace

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"
IDENT = "req_0123456789abcdeffedcba9876543210"


def headers(*values: str, state: tuple[str, ...] = ()) -> list[tuple[bytes, bytes]]:
    told = [(b"traceparent", value.encode()) for value in values] + [(b"tracestate", value.encode()) for value in state]
    return [(b"host", b"gateway"), *told]


def test_a_trace_is_taken_and_passed_on() -> None:
    assert trace.taken(headers(PARENT)) == (TRACE, SPAN, (("traceparent", PARENT),))


def test_a_later_version_is_read_as_far_as_it_is_known_and_passed_on_as_ours() -> None:
    assert trace.taken(headers(f"42-{TRACE}-{SPAN}-01-more")) == (TRACE, SPAN, (("traceparent", PARENT),))


@pytest.mark.parametrize(
    "value",
    [
        "",
        PARENT.upper(),
        f"{PARENT}-more",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[1:]}-{SPAN}-01",
        f"{PARENT}\n",
        f" {PARENT}",
    ],
)
def test_what_is_no_trace_is_left(value: str) -> None:
    assert trace.taken(headers(value, state=("a=b",))) == ("", "", ())


def test_states_go_on_together_and_only_with_a_trace() -> None:
    assert trace.taken(headers(PARENT, state=("a=b", "c=d")))[2][1] == ("tracestate", "a=b,c=d")
    assert len(trace.taken(headers(PARENT, state=("a" * 513,)))[2]) == 1
    assert len(trace.taken(headers(PARENT, state=("a=é",)))[2]) == 1


@given(st.binary(max_size=80), st.binary(max_size=40))
@example(PARENT.encode(), b"a=b\r\nx: y")
def test_nothing_but_a_trace_leaves_whatever_comes(value: bytes, state: bytes) -> None:
    for _, told in trace.taken([(b"traceparent", value), (b"tracestate", state)])[2]:
        assert re.fullmatch(r"[\x20-\x7e\t]{1,512}", told)


def test_where_spans_are_exported_upstreams_are_told_ours_in_the_same_trace() -> None:
    span, parent, passed = trace.taken(headers(f"00-{TRACE}-{SPAN}-00", state=("a=b",)))
    told = trace.continued(IDENT, span, passed)
    assert told == (("traceparent", f"00-{TRACE}-{trace.client_span(IDENT)}-00"), ("tracestate", "a=b"))
    assert parent != trace.client_span(IDENT) != trace.server_span(IDENT)


def test_a_request_without_a_trace_begins_one() -> None:
    ((name, value),) = trace.continued(IDENT, "", ())
    assert trace.taken([(name.encode(), value.encode())])[:2] == (trace.root(IDENT), trace.client_span(IDENT))
    assert value.endswith("-01")


@given(st.text(max_size=60), st.text(max_size=20))
def test_ids_have_the_length_that_the_protocol_asks_for_whatever_an_exchange_is_called(ident: str, what: str) -> None:
    assert re.fullmatch(r"[0-9a-f]{32}", trace.root(ident))
    for span in (trace.server_span(ident), trace.client_span(ident), trace.other_span(ident, what)):
        assert re.fullmatch(r"[0-9a-f]{16}", span)
