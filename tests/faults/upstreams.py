"""D: what upstreams do. The client gets the right answer, or one error in OpenAI's envelope, in time."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterable
from typing import Any

import orjson
from faults import deeds
from faults.entry import Deed, Entry, Up
from faults.stand import FIRST_BYTE_S, TOTAL_S
from support.answers import DONE, JSON, SSE, answer, completion, delta, deltas, event, opened, sent, stream, usage
from support.script import Close, Hang, Reset, Script, Send, Step, Wait, chunk, head, pieces

EVENTS = deltas(["the", " tide"], "m")
TEXT = b"".join(EVENTS)
BODY = orjson.dumps(completion("the tide", "m"))
BROKEN, LATE, UNREACHABLE, SAID = "upstream_broken", "upstream_timeout", "upstream_unreachable", "upstream_error"


def raw(*parts: bytes | Step) -> Script:
    return Script(tuple(Send(part) if isinstance(part, bytes) else part for part in parts))


def sized(data: bytes, length: int, *end: Step, status: int = 200, more: Iterable[tuple[str, str]] = ()) -> Script:
    return raw(head(status, [JSON, ("content-length", str(length)), *more]), data, *end)


def due(fault: str) -> float:
    """Silence ends by the shorter deadlines, all else by that of the whole exchange."""
    return FIRST_BYTE_S if fault == LATE else TOTAL_S


def whole(script: Script, status: int = 200, fault: str = "", said: bytes = b"") -> Up:
    return Up(script, status, fault, said=said, due_s=due(fault))


def flow(script: Script, fault: str = "", said: bytes = b"", status: int = 200) -> Up:
    return Up(script, status, fault, stream=True, said=said, due_s=due(fault))


def both(script: Script, status: int, fault: str) -> tuple[Up, Up]:
    return whole(script, status, fault), flow(script, fault, status=status)


def said(*events: bytes) -> Script:
    """A stream of those events."""
    return stream(events)


def begun(*end: bytes | Step) -> Script:
    """A stream that began, and goes on with `end`."""
    return raw(*opened(), *sent(EVENTS[:2]), *end)


def odd(**fields: Any) -> bytes:
    return event({**orjson.loads(EVENTS[1][6:]), **fields})


def choice(**fields: Any) -> bytes:
    return odd(choices=[{"index": 0, "delta": {"content": "a"}, "finish_reason": None, **fields}])


def between(*events: bytes) -> Script:
    """Odd events in the middle of a good stream."""
    rest = (*sent(events), *sent(EVENTS[2:]), Send(chunk(b"")))
    return Script((*opened(), *sent(EVENTS[:2]), Wait(0.03), *rest))


def packed(data: bytes, name: str = "gzip", kind: tuple[str, str] = JSON) -> Script:
    return raw(head(200, [kind, ("content-encoding", name), ("content-length", str(len(data)))]), data)


# Five million characters: what takes time is judging them, not the upstream.
JUDGED = Up(said(event(delta("a" * (5 << 20))), *EVENTS), 200, stream=True, due_s=10.0)
ERROR = b'{"error":{"message":"why","type":"t","param":null,"code":"theirs"}}'


def failing() -> Iterable[Up]:
    """Each status with each kind of body. A refusal of our own key, and what is no error of ours, are a 502."""
    for status in (400, 401, 403, 404, 409, 413, 422, 429, 500, 502, 503, 504, 529):
        for body, code in ((ERROR, "theirs"), (b"<html>down</html>", SAID), (b"", SAID)):
            own = status in {401, 403}
            yield Up(answer(body, status), 502 if own else status, SAID if own else code, stream=status % 2 == 0)
    yield Up(answer(b"e" * (10 << 20), 500), 500, SAID)


COUNTS: tuple[Any, ...] = (usage(1, 1), "many", [], *({"prompt_tokens": n} for n in (-1, 1.5, 10**18, "1")))
CALLS = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}


def called(**fields: Any) -> bytes:
    return event(delta(tool_calls=[fields]))


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
        94,
        "line ends CRLF, CR, mixed",
        "read alike",
        (
            *tuple(flow(said(*(e.replace(b"\n", end) for e in EVENTS)), said=b"tide") for end in (b"\r\n", b"\r")),
            flow(said(*EVENTS[:2], EVENTS[2].replace(b"\n", b"\r\n"), *EVENTS[3:]), said=b"tide"),
        ),
    ),
    Entry(
        95,
        "comments, `retry:`, `id:`, `event:`",
        "passed on",
        (flow(between(b": ping\n\n", b"retry: 5\n\n", b"id: 1\nevent: x\n" + EVENTS[1]), said=b": ping"),),
    ),
    Entry(
        96, "`data:` over several lines", "read as one", (flow(between(EVENTS[1].replace(b'"id"', b'\ndata: "id"'))),)
    ),
    Entry(
        97,
        "no space behind `data:`",
        "read alike",
        (flow(said(*(e.replace(b"data: ", b"data:") for e in EVENTS)), said=b"tide"),),
    ),
    Entry(
        98,
        "a character cut in two; a BOM first",
        "put together",
        (
            flow(raw(*opened(), *sent([b"\xef\xbb\xbf" + TEXT[:9]]), *sent([TEXT[9:]]), Send(chunk(b"")))),
            flow(
                raw(
                    *opened(),
                    *sent(x for e in deltas(["h\u00f6her"]) for x in (e.replace(b"\\u00f6", "ö".encode()),)),
                    Send(chunk(b"")),
                )
            ),
            flow(
                raw(
                    *opened(),
                    *(s for b in "".join(map(bytes.decode, EVENTS)).encode() for s in sent([bytes([b])])),
                    Send(chunk(b"")),
                )
            ),
        ),
    ),
    Entry(
        99,
        "an event of 5 MiB, of 9; 5,000 tiny ones",
        "passed on; an error event",
        (
            JUDGED,
            flow(raw(*opened(), *sent([EVENTS[1]]), *sent([b"data: " + b"a" * (9 << 20)]), Hang()), BROKEN),
            flow(raw(*opened(), Send(chunk(b"".join([EVENTS[1]] * 5_000))), *sent(EVENTS), Send(chunk(b"")))),
        ),
    ),
    Entry(
        100,
        "broken JSON in an event; no object; null",
        "an error event",
        tuple(flow(between(b"data: " + data + b"\n\n"), BROKEN) for data in (b'{"a":', b"[]", b"1", b"null", b"x")),
    ),
    Entry(
        101,
        "odd choices and deltas",
        "passed on as they came",
        tuple(
            flow(between(each))
            for each in (
                odd(choices=[]),
                event({"id": "x"}),
                odd(choices=None),
                odd(choices=[{"index": 0}]),
                odd(choices=[None, 1]),
                choice(delta=None),
                choice(delta={"content": None}),
                choice(index=None),
                choice(index=10**9),
                odd(choices=[{"delta": {"content": "a"}}]),
                odd(choices=[{"index": 0, "delta": {"content": "a"}}] * 2),
            )
        ),
    ),
    Entry(
        102,
        "odd tool calls",
        "passed on as they came",
        (
            flow(
                between(
                    called(index=0, **CALLS),
                    called(index=0, function={"arguments": '{"a'}),
                    called(index=0, function={"arguments": '":1}'}),
                )
            ),
            flow(
                between(
                    called(index=7, function={"arguments": "x"}),
                    called(function={"arguments": "y"}),
                    called(index=0, id="c"),
                )
            ),
            flow(between(called(index="0", function=None), event(delta(tool_calls=None)), event(delta(tool_calls={})))),
        ),
    ),
    Entry(
        103,
        "usage last, missing, in every event, no numbers",
        "counted where it counts something",
        (
            flow(stream(deltas(["a"], counted=True))),
            *(flow(between(odd(usage=u))) for u in COUNTS),
        ),
        ("tests/wire/test_usage.py::test_nothing_an_upstream_says_breaks_the_counting",),
    ),
    Entry(
        104,
        "finish_reason missing, unknown, changed",
        "passed on",
        (
            flow(said(*EVENTS[:3], DONE)),
            flow(between(choice(finish_reason="tired"), choice(finish_reason="stop"), choice(finish_reason=1))),
        ),
    ),
    Entry(
        105,
        "an error in the stream",
        "passed on, recorded",
        (flow(said(*EVENTS[:2], event(orjson.loads(ERROR)), DONE), "theirs"),),
    ),
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
