"""D: what upstreams do. The client gets the right answer, or one error in OpenAI's envelope, in time."""

from __future__ import annotations

import gzip
import os

from faults import deeds
from faults.entry import Deed, Entry, Up
from faults.playing import (
    BODY,
    BROKEN,
    ERROR,
    EVENTS,
    LATE,
    TEXT,
    UNREACHABLE,
    begun,
    between,
    both,
    failing,
    flow,
    odd,
    packed,
    raw,
    said,
    sized,
    whole,
)
from support.answers import DONE, JSON, SSE, answer, completion, opened
from support.script import Close, Hang, Reset, Script, Wait, chunk, head, pieces

UPSTREAMS = (
    Entry(82, "refuses the connection", "502 in time", (Deed(deeds.refused),)),
    Entry(83, "resets it on connect", "502", both(Script((Reset(),), on="accept"), 502, UNREACHABLE)),
    Entry(84, "accepts, never answers", "504 within the deadline", both(raw(Hang()), 504, LATE)),
    Entry(85, "answers after the deadline", "504", both(raw(Wait(0.8), BODY), 504, LATE)),
    Entry(
        86,
        "headers, then silence",
        "504",
        (whole(sized(b"", 9, Hang()), 504, LATE), flow(raw(*opened(), Hang()), LATE, status=504)),
    ),
    Entry(
        87,
        "silence in the middle",
        "an error event in time",
        (flow(begun(Hang()), LATE), whole(sized(b"{", 9, Hang()), 504, LATE)),
    ),
    Entry(
        88,
        "a byte at a time",
        "504 when the whole deadline is over",
        (Up(sized(b"", 9999, *pieces(b"x" * 99, 1, 0.05)), 504, LATE),),
    ),
    Entry(
        89,
        "a reset in the body",
        "502; an error event",
        (whole(sized(b"{", 99, Reset()), 502, BROKEN), flow(begun(Wait(0.05), Reset()), BROKEN)),
    ),
    Entry(90, "an end before the CL", "502", (whole(sized(b"{}", 99, Close()), 502, BROKEN),)),
    Entry(
        91,
        "an end without `[DONE]`",
        "whole where a finish was told, else an error event",
        (flow(said(*EVENTS[:2]), BROKEN), flow(begun(Close()), BROKEN)),
        ("tests/upstream/test_direct_faults.py::test_a_stream_without_its_last_event_is_whole_when_it_is_framed",),
    ),
    Entry(92, "`[DONE]` twice, data behind it", "one `[DONE]`, and no more", (flow(said(*EVENTS, DONE, EVENTS[1])),)),
    Entry(93, "`[DONE]` and nothing else", "`[DONE]`", (flow(said(DONE)),)),
    Entry(
        106,
        "200 with an error, HTML, nothing; 204",
        "as it came; 502",
        (
            whole(answer(ERROR), 200, "theirs"),
            whole(answer("<html></html>", 200, [("content-type", "text/html")]), 502, BROKEN),
            whole(answer(b""), 502, BROKEN),
            whole(raw(head(204)), 502, BROKEN),
        ),
    ),
    Entry(
        107,
        "each error status with JSON, HTML, nothing, 10 MiB",
        "that status, in the envelope; 401 and 403 of our own key are 502",
        tuple(failing()),
    ),
    Entry(
        108,
        "odd Retry-After",
        "429",
        tuple(
            whole(answer(ERROR, 429, [JSON, ("retry-after", after)]), 429, "theirs")
            for after in ("7", "Wed, 21 Oct 2099 07:28:00 GMT", "99999999999999999999", "-1", "soon", "\xff")
        ),
    ),
    Entry(
        109,
        "compressed; a lie; a bomb",
        "gzip is read; 502",
        (
            whole(packed(gzip.compress(BODY)), said=b"the tide"),
            flow(packed(gzip.compress(TEXT), kind=SSE), said=b"tide"),
            whole(packed(b"\x0b\x02\x80{}\x03", "br"), 502, BROKEN),
            whole(packed(b"x", "zstd"), 502, BROKEN),
            whole(packed(BODY), 502, BROKEN),
            whole(packed(gzip.compress(os.urandom(600))[:-40]), 502, BROKEN),
            whole(packed(gzip.compress(bytes(80 << 20))), 502, BROKEN),
        ),
        ("tests/faults/test_bombs.py::test_a_compressed_answer_costs_no_more_than_its_limit",),
    ),
    Entry(
        110,
        "chunked and CL, TE twice; 1 MiB of headers; cookies",
        "502; what means nothing to the client stays here",
        (
            whole(
                raw(
                    head(200, [JSON, ("transfer-encoding", "chunked"), ("content-length", "5")]),
                    chunk(BODY),
                    chunk(b""),
                ),
                502,
                BROKEN,
            ),
            whole(raw(head(200, [JSON, ("x-a", "a" * (1 << 20))]), Hang()), 502, BROKEN),
            whole(raw(head(200, [(f"x-{n}", "a") for n in range(300)]), Hang()), 502, BROKEN),
            whole(raw(head(200, [JSON, ("content-length", "2"), ("content-length", "3")]), b"{}", Hang()), 502, BROKEN),
            whole(answer(BODY, 200, [JSON, JSON, ("set-cookie", "sk-upstream")])),
            Deed(deeds.answers_hygiene),
        ),
    ),
    Entry(111, "redirects to another host", "502: none is followed, no key travels", (Deed(deeds.redirected),)),
    Entry(
        112,
        "HTTP/1.0; 1xx, a flood of them; 101",
        "read; 502",
        (
            whole(
                raw(b"HTTP/1.0 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY), Close()), said=b"the tide"
            ),
            whole(raw(b"HTTP/1.0 200 OK\r\n\r\n" + BODY, Close()), said=b"the tide"),
            whole(raw(head(103, [("link", "x")]) * 3 + sized(BODY, len(BODY)).steps[0].data, BODY), said=b"the tide"),  # type: ignore[union-attr]  # a Send
            whole(raw(head(100) * 50, Hang()), 502, BROKEN),
            whole(raw(head(101, [("upgrade", "h2c"), ("connection", "upgrade")]), Hang()), 502, BROKEN),
        ),
    ),
    Entry(
        113,
        "a stream nobody asked for; none where one was",
        "502; passed on",
        (whole(said(*EVENTS), 502, BROKEN), flow(answer(BODY), said=b"the tide")),
    ),
    Entry(
        114,
        "another model's name; an id that changes",
        "passed on",
        (flow(between(odd(model="other", id="new"))), whole(answer(completion("a", "other")))),
    ),
    Entry(
        115,
        "TLS: expired, another name, a handshake that hangs",
        "502, nothing said; 504",
        (),
        (
            "tests/faults/test_tls.py::test_an_upstream_that_cannot_prove_who_it_is_is_told_nothing",
            "tests/faults/test_tls.py::test_a_handshake_that_hangs_ends_in_time",
        ),
    ),
    Entry(
        116,
        "a name without an address; the first address dead",
        "502; the next one is tried",
        (Deed(deeds.nameless),),
        ("tests/upstream/test_direct_faults.py::test_a_name_without_an_address_is_unreachable",),
    ),
    Entry(
        117,
        "a kept connection closed as it is used again",
        "nothing is sent twice",
        (Deed(deeds.kept_closed),),
        (
            "tests/upstream/test_direct.py::test_a_post_is_never_sent_twice",
            "tests/upstream/test_direct.py::test_an_end_that_the_loop_has_not_yet_seen_is_seen_in_the_kernel",
        ),
    ),
    Entry(
        118,
        "an answer before the request's body",
        "told",
        (Up(Script(answer(ERROR, 413).steps, on="head"), 413, "theirs"),),
    ),
    Entry(
        119,
        "all upstreams down",
        "the breaker opens, probes, recovers",
        (Deed(deeds.tripped),),
        ("tests/routing/test_breaker.py::test_a_probe_that_fails_doubles_the_rest_up_to_the_most",),
    ),
    Entry(
        120,
        "a storm of retries",
        "no more than its budget",
        (),
        ("tests/routing/test_road.py::test_a_storm_of_failures_multiplies_requests_by_no_more_than_the_budget",),
    ),
)
