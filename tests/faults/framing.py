"""A: HTTP itself, byte by byte. What two readers could take for different requests is a 4xx, and the end."""

from __future__ import annotations

from faults.entry import BARE, BODY, CHUNKED, GONE, HOST, JSON, KEY, PATH, SIZED, Entry, Raw, chunks, head, whole

REFUSED = "4xx, closed"
POST = b"POST " + PATH + b" HTTP/1.1"


def bad(*sent: bytes, ends: tuple[int, ...] = (400,)) -> tuple[Raw, ...]:
    return tuple(Raw(each, ends) for each in sent)


def sized(*values: bytes) -> bytes:
    return head(HOST, JSON, *(b"Content-Length: " + value for value in values)) + BODY


def coded(*values: bytes) -> bytes:
    return head(HOST, JSON, *(b"Transfer-Encoding: " + value for value in values)) + chunks(BODY)


def framed(raw: bytes) -> bytes:
    return head(HOST, JSON, CHUNKED) + raw


def targeted(target: bytes, method: bytes = b"POST") -> bytes:
    return whole(first=method + b" " + target + b" HTTP/1.1")


def hosted(*hosts: bytes) -> bytes:
    return head(*(b"Host: " + host for host in hosts), KEY, JSON, SIZED) + BODY


def keyed(*lines: bytes) -> bytes:
    return head(BARE, JSON, SIZED, *lines) + BODY


FRAMING = (
    Entry(1, "CL and TE together", REFUSED, bad(head(HOST, JSON, SIZED, CHUNKED) + chunks(BODY))),
    Entry(2, "two different CL", REFUSED, bad(sized(b"%d" % len(BODY), b"3"))),
    Entry(3, "two equal CL", REFUSED, bad(sized(b"3", b"3"))),
    Entry(4, "CL `3, 3`", REFUSED, bad(sized(b"3, 3"))),
    Entry(5, "CL `+3`, `-1`, `0x3`, 30 digits", REFUSED, bad(*map(sized, (b"+3", b"-1", b"0x3", b"9" * 30)))),
    Entry(6, "TE `chunked, identity`", REFUSED, bad(coded(b"chunked, identity"))),
    Entry(7, "TE `xchunked`", REFUSED, bad(coded(b"xchunked"))),
    Entry(8, "TE, space, colon", REFUSED, bad(head(HOST, JSON, b"Transfer-Encoding : chunked") + chunks(BODY))),
    Entry(9, "TE with VT", REFUSED, bad(coded(b"\x0bchunked"))),
    Entry(10, "a chunk not followed by CRLF", REFUSED, bad(framed(b"%x\r\n%bXX0\r\n\r\n" % (len(BODY), BODY)))),
    Entry(11, "LF-only chunks", REFUSED, bad(framed(b"%x\n%b\n0\n\n" % (len(BODY), BODY)))),
    Entry(
        12,
        "chunk size `-1`, `0x3`, 18 f",
        REFUSED,
        bad(*(framed(size + b"\r\nabc\r\n0\r\n\r\n") for size in (b"-1", b"0x3", b"f" * 18))),
    ),
    Entry(
        13,
        "a chunk extension of 8 KiB",
        REFUSED,
        bad(framed(b"%x;a=%b\r\n%b\r\n0\r\n\r\n" % (len(BODY), b"b" * 8192, BODY))),
    ),
    Entry(14, "LF in a chunk extension", REFUSED, bad(framed(b"%x;a\nb\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)))),
    Entry(
        15,
        "a trailer with Authorization",
        "it is no header: 401 where a key is asked for",
        bad(
            head(BARE, JSON, CHUNKED) + chunks(BODY).removesuffix(b"\r\n") + KEY + b"\r\n\r\n",
            ends=(401,),
        ),
    ),
    Entry(
        16,
        "HTTP/1.0 with TE",
        REFUSED,
        bad(head(HOST, JSON, CHUNKED, first=POST.replace(b"1.1", b"1.0")) + chunks(BODY)),
    ),
    Entry(17, "a header without colon", REFUSED, bad(whole(b"oops"))),
    Entry(18, "obs-fold", REFUSED, bad(whole(b"X-A: b", b" folded"))),
    Entry(
        19,
        "NUL, bare CR, LF-only header",
        REFUSED,
        bad(whole(b"X-A: a\x00b"), whole(b"X-A: a\rX-B: b"), whole().replace(b"\r\n", b"\n")),
    ),
    Entry(
        20,
        "a header value with 0xFF",
        "legal (RFC 9110, 5.5): answered, goes nowhere",
        bad(whole(b"X-A: \xff"), ends=(200,)),
    ),
    Entry(
        21,
        "headers of 64 KiB and 1 MiB, 5,000 headers",
        "431, closed",
        bad(
            whole(b"X-A: " + b"a" * 65536),
            whole(b"X-A: " + b"a" * 1048576),
            whole(*(b"X-%d: a" % n for n in range(5000))),
            ends=(431,),
        ),
    ),
    Entry(22, "no Host", REFUSED, bad(head(KEY, JSON, SIZED) + BODY)),
    Entry(23, "two Hosts", REFUSED, bad(hosted(b"a", b"b"), hosted(b"a", b"a"))),
    Entry(
        24,
        "Host `x/health?`, `u@h`, `[::1`, `a:99999`, 0xFF",
        REFUSED,
        bad(*map(hosted, (b"x/health?", b"u@h", b"[::1", b"a:99999", b"\xff", b""))),
    ),
    Entry(25, "absolute-form target of another host", REFUSED, bad(targeted(b"http://elsewhere" + PATH))),
    Entry(
        26, "CONNECT", REFUSED, bad(head(HOST, first=b"CONNECT 127.0.0.1:22 HTTP/1.1"), targeted(b"a:1", b"CONNECT"))
    ),
    Entry(
        27,
        "odd paths",
        "404",
        bad(
            *map(
                targeted,
                (
                    b"/" + PATH,
                    b"/v1/%2e%2e/v1/chat/completions",
                    b"/v1/chat/completions/",
                    b"/v1/chat/completions;x",
                    b"/v1/Chat/completions",
                    b"/v1/chat/completions%00",
                    b"/v1/chat/completions%0d%0a",
                    b"/v1/../v1/chat/completions",
                ),
            ),
            ends=(400, 404),
        ),
    ),
    Entry(28, "a target of 70 KiB", "431, closed", bad(targeted(PATH + b"?" + b"a" * 71680), ends=(431,))),
    Entry(
        29,
        "HTTP/2 preface, HTTP/9.9, a TLS hello",
        REFUSED,
        bad(
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            whole(first=POST.replace(b"1.1", b"9.9")),
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
        ),
    ),
    Entry(
        30,
        "`Upgrade: h2c`, a websocket's",
        "no upgrade: 400, closed, or the answer without it",
        bad(
            whole(b"Connection: Upgrade", b"Upgrade: h2c"),
            whole(b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13"),
            ends=(200, 400),
        ),
    ),
    Entry(
        31,
        "`Expect: 100-continue` and no body; an unknown Expect",
        "408 when its time is over; answered",
        (
            *bad(head(HOST, JSON, SIZED, b"Expect: 100-continue"), ends=(408,)),
            *bad(whole(b"Expect: the-unexpected"), ends=(200, 417)),
        ),
    ),
    Entry(
        32,
        "lower-case, unknown, TRACE, OPTIONS, HEAD",
        "400 or 405",
        bad(*(targeted(PATH, method) for method in (b"post", b"BREW", b"TRACE", b"OPTIONS")), ends=(400, 405))
        + bad(targeted(PATH, b"HEAD"), ends=(405,)),
    ),
    Entry(
        33,
        "`X_Forwarded_For` beside `X-Forwarded-For`",
        "neither means anything here",
        bad(whole(b"X_Forwarded_For: 1.2.3.4", b"X-Forwarded-For: 5.6.7.8"), ends=(200,)),
        ("tests/http/test_endpoints.py::test_the_clients_trace_goes_on_and_its_other_headers_do_not",),
    ),
    Entry(
        34,
        "two Authorizations; odd ones",
        "401",
        bad(
            keyed(b"Authorization: Bearer sk-good", b"Authorization: Bearer sk-good"),
            keyed(b"Authorization: Bearer sk-good", b"Authorization: Bearer other"),
            keyed(b"Authorization: Bearer " + b"a" * 8192),
            keyed(b"Authorization: Bearer ' OR 1=1 --"),
            keyed(b"Authorization: Bearer"),
            keyed(b"Authorization: Basic sk-good"),
            ends=(401,),
        )
        + bad(keyed(b"Authorization: Bearer a\x00b"))
        + bad(keyed(b"Authorization: bearer sk-good"), ends=(200,)),
        ("tests/http/test_auth.py::test_anything_else_is_refused_and_not_repeated",),
    ),
    Entry(
        35,
        "`Connection: authorization, x-guard`",
        "headers are not taken away by it: 401 stays 401, a key stays a key",
        bad(keyed(b"Authorization: Bearer sk-good", b"Connection: authorization"), ends=(200,))
        + bad(keyed(b"Connection: authorization, x-guard"), ends=(401,)),
    ),
    Entry(
        36,
        "forged `X-Forwarded-*`; `X-Request-Id` of 4 KiB, of JSON",
        "ignored: the id is our own",
        bad(
            whole(b"X-Forwarded-Host: evil", b"X-Forwarded-Proto: https", b"X-Request-Id: " + b"a" * 4096),
            whole(b'X-Request-Id: {"level":"info"}'),
            ends=(200,),
        ),
    ),
    Entry(
        37,
        "a pipelined pair, the first blocked",
        "both are answered, in their order",
        (),
        ("tests/faults/test_fault_table.py::test_a_pipelined_pair_is_answered_in_order_though_the_first_is_blocked",),
    ),
    Entry(
        38,
        "CL larger than the body, then closed; smaller",
        "closed; 400",
        (
            Raw(head(HOST, JSON, b"Content-Length: 9999") + BODY, (GONE, 408)),
            *bad(head(HOST, JSON, b"Content-Length: 9") + BODY),
        ),
        ("tests/http/test_leaving.py::test_a_client_that_leaves_before_its_request_is_whole_is_recorded",),
    ),
    Entry(39, "a body on GET", "405", bad(targeted(PATH, b"GET"), ends=(405,))),
)
