"""D: what upstreams stream. It is read as the standard says, or ends in one error event."""

from __future__ import annotations

import orjson
from faults.entry import Entry
from faults.playing import (
    BROKEN,
    CALLS,
    COUNTS,
    ERROR,
    EVENTS,
    JUDGED,
    TEXT,
    between,
    called,
    choice,
    flow,
    odd,
    raw,
    said,
)
from support.answers import DONE, delta, deltas, event, opened, sent, stream
from support.script import Hang, Send, chunk

STREAMS = (
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
)
