"""B: bodies and JSON. What cannot be read in one way only is refused before anybody is asked."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

from faults.entry import ASK, BODY, CHUNKED, HOST, JSON, PATH, Entry, Raw, asked, chunks, head, message, post

LINE = b"POST " + PATH + b" HTTP/1.1"
BAD = "400"


def posts(*bodies: bytes, ends: tuple[int, ...] = (400,)) -> tuple[Raw, ...]:
    return tuple(post(body, *ends) for body in bodies)


def within(text: bytes) -> bytes:
    """A request whose only message is that JSON string."""
    return b'{"model":"m","messages":[{"role":"user","content":' + text + b"}]}"


def nested(depth: int) -> bytes:
    return BODY[:-1] + b',"x":' + b"[" * depth + b"]" * depth + b"}"


def typed(*types: bytes) -> tuple[Raw, ...]:
    lines = (head(HOST, b"Content-Length: %d" % len(BODY), *([b"Content-Type: " + t] if t else [])) for t in types)
    return tuple(Raw(line + BODY, (415,)) for line in lines)


def coded(name: bytes, body: bytes) -> Raw:
    return Raw(head(HOST, JSON, b"Content-Encoding: " + name, b"Content-Length: %d" % len(body)) + body, (415,))


BOMB = gzip.compress(bytes(1 << 26), 9)
ODD: tuple[Any, ...] = (1, True, {})
EMPTY: tuple[Any, ...] = (None, "", [])
TYPES: dict[str, tuple[Any, ...]] = {
    "messages": (1, "x", True, {}),
    "model": (1, True, [], {}, None),
    "stream": (1, "x", [], {}),
}

BODIES = (
    Entry(40, "an empty body", BAD, posts(b"", b"  ")),
    Entry(
        41,
        "JSON cut at each byte",
        BAD,
        posts(*(BODY[:n] for n in range(0, len(BODY), 9))),
        ("tests/wire/test_body.py::test_a_body_cut_anywhere_is_refused",),
    ),
    Entry(
        42,
        "`NaN`, `Infinity`, `1e999`",
        "400; a number that JSON allows is the upstream's to read",
        (
            *posts(BODY[:-1] + b',"temperature":NaN}', BODY[:-1] + b',"temperature":-Infinity}'),
            *posts(BODY[:-1] + b',"temperature":1e999}', ends=(200, 400)),
        ),
    ),
    Entry(
        43,
        "the same key twice",
        BAD,
        posts(
            b'{"model":"a",' + BODY[1:],
            BODY[:-1] + b',"messages":[]}',
            b'{"stream":true,' + BODY[1:-1] + b',"stream":false}',
        ),
    ),
    Entry(44, "a byte order mark", BAD, posts(b"\xef\xbb\xbf" + BODY)),
    Entry(45, "UTF-16 and UTF-32", BAD, posts(BODY.decode().encode("utf-16"), BODY.decode().encode("utf-32"))),
    Entry(
        46, "invalid and overlong UTF-8", BAD, posts(within(b'"\xff"'), within(b'"\xc0\xaf"'), within(b'"\xe2\x82"'))
    ),
    Entry(47, "surrogates as CESU-8", BAD, posts(within(b'"\xed\xa0\x80\xed\xb0\x80"'))),
    Entry(48, "half a surrogate pair", BAD, posts(within(b'"\\ud800"'), within(b'"\\udc00x"'))),
    Entry(49, "`\\u0000` in text", "answered: it is text", posts(within(b'"a\\u0000b"'), ends=(200,))),
    Entry(50, "raw control characters", BAD, posts(within(b'"a\x01b"'), within(b'"a\nb"'))),
    Entry(
        51,
        "trailing commas, comments, two documents, junk behind",
        BAD,
        posts(BODY[:-1] + b",}", b"/* */" + BODY, BODY + BODY, BODY + b"x"),
    ),
    Entry(52, "null, array, string, number on top", BAD, posts(b"null", b"[]", b'"x"', b"1", b"true")),
    Entry(
        53,
        "nested 900, 1,025, 5,000, 100,000 deep",
        BAD,
        posts(*map(nested, (900, 1025, 5000, 100_000)), ends=(400, 413)),
    ),
    Entry(
        54,
        '5,000 digits, 2^64, -0, 1.0, `"1"`, true for numbers',
        "the upstream's to read, or 400",
        posts(
            *(
                BODY[:-1] + b',"max_tokens":' + n + b"}"
                for n in (b"9" * 5000, b"18446744073709551616", b"-0", b"1.0", b'"1"')
            ),
            ends=(200, 400),
        ),
    ),
    Entry(
        55,
        "every field with every wrong type",
        "400, 422, or the upstream's to read; never a 5xx",
        (
            *(asked(400, **{field: value}) for field, values in TYPES.items() for value in values),
            *(message(400, content=value) for value in ODD),
        ),
        ("tests/wire/test_chat.py::test_a_wrong_type_anywhere_is_refused_or_read_and_never_breaks",),
    ),
    Entry(
        56,
        "one byte too many; 100 MiB declared; too much undeclared",
        "413",
        (
            post(within(b'"' + b"a" * (1 << 18) + b'"'), 413),
            Raw(head(HOST, JSON, b"Content-Length: 104857600"), (413,)),
            Raw(head(HOST, JSON, CHUNKED) + chunks(*[b" " * 65536] * 5), (413,)),
        ),
    ),
    Entry(
        57,
        "thousands of messages, of empty objects",
        "answered up to 50,000 values, then 400",
        (
            post({**ASK, "messages": [{"role": "user", "content": "a"}] * 5000}, 200),
            post(BODY[:-1] + b',"x":[' + b",".join([b"{}"] * 80_000) + b"]}", 400),
        ),
        ("tests/faults/test_bombs.py::test_a_body_costs_no_more_than_25_times_its_bytes",),
    ),
    Entry(58, "one word of 200,000 letters", "answered", (message(200, content="a" * 200_000),)),
    Entry(
        59,
        "bombs; a lying or double Content-Encoding",
        "415: bodies come as they are",
        (
            coded(b"gzip", BOMB),
            coded(b"deflate", zlib.compress(bytes(1 << 20))),
            coded(b"br", b"\x0b\x02\x80{}\x03"),
            coded(b"gzip", BODY),
            coded(b"gzip, gzip", BODY),
        ),
    ),
    Entry(
        60,
        "Content-Type missing, text, multipart, another charset, a form",
        "415",
        typed(
            b"",
            b"text/plain",
            b"multipart/form-data",
            b"application/json; charset=utf-7",
            b"application/x-www-form-urlencoded",
        ),
    ),
    Entry(
        61,
        "`__proto__`, `__class__`, a key of 100 KiB",
        "they are texts like others",
        (asked(200, __proto__={"a": 1}), asked(200, __class__="x"), asked(200, **{"k" * 102_400: 1})),
    ),
    Entry(
        62,
        "unknown fields; unknown, missing or odd roles",
        "the field passes, judged; 400",
        (
            asked(200, odd="text"),
            *(message(400, role=role) for role in ("owner", "System", " system", None, 1)),
            asked(400, messages=[{"content": "x"}]),
        ),
    ),
    Entry(
        63,
        "no messages; content null, empty, []",
        "400; the upstream's to read",
        (asked(400, messages=[]), *(message(200, content=content) for content in EMPTY)),
    ),
    Entry(
        64,
        "odd `n`, `max_tokens`, `temperature`, `stop`, `logit_bias`",
        "the upstream's to read",
        (
            *(asked(200, n=n) for n in (0, -1, 128, 10**9)),
            asked(200, max_tokens=2**62, temperature=-5, stop=["a"] * 1000),
            asked(200, logit_bias={str(n): 1 for n in range(10_000)}),
            asked(200, stream_options={"include_usage": True}),
        ),
    ),
    Entry(
        65,
        '`stream: "true"`, 1, null',
        "400; null is none",
        (asked(400, stream="true"), asked(400, stream=1), asked(200, stream=None)),
    ),
    Entry(
        66,
        "model empty, 10 KiB, a path, a URL, a line end, a twin letter",
        "400, 404",
        tuple(
            asked(400, 404, model=name)
            for name in ("", "m" * 10_240, "../m", "http://127.0.0.1/", "azure/m", "m\n", "ｍ", "M", "m\x00")
        ),
    ),
)

assert json.loads(BODY) == ASK
