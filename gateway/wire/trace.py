"""W3C Trace Context: which trace a request belongs to, and what the upstream is told of it. No I/O, no randomness.

Span ids are made of the exchange's own, so that whoever reads the log finds the very spans that upstreams were told.
https://www.w3.org/TR/trace-context/
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import sha256

Headers = tuple[tuple[str, str], ...]

# Version ff is invalid, 00 has four fields; later ones may have more, and begin with these. Ids of zeros are none.
_PARENT = re.compile(
    rb"(?!ff)(?P<version>[0-9a-f]{2})-(?!0{32})(?P<trace>[0-9a-f]{32})-(?!0{16})(?P<span>[0-9a-f]{16})-"
    rb"(?P<flags>[0-9a-f]{2})(?P<more>-.*)?"
)
_STATE = re.compile(rb"[\x20-\x7e\t]{1,512}")
_IDENT = re.compile(r"[a-z]+_([0-9a-f]{32})")


def taken(headers: Iterable[tuple[bytes, bytes]]) -> tuple[str, str, Headers]:
    """Of a request's `traceparent`: trace id, parent span id, and what is passed on. All empty where it has none."""
    found, states = b"", []
    for name, value in headers:
        if name == b"traceparent":
            found = value
        elif name == b"tracestate":
            states.append(value)
    match = _PARENT.fullmatch(found) if found else None
    if match is None or (match["version"] == b"00" and match["more"]):
        return "", "", ()
    trace, span, flags = match["trace"].decode(), match["span"].decode(), match["flags"].decode()
    passed: Headers = (("traceparent", f"00-{trace}-{span}-{flags}"),)
    state = b",".join(states)
    return trace, span, (*passed, ("tracestate", state.decode())) if _STATE.fullmatch(state) else passed


def continued(ident: str, trace: str, passed: Headers) -> Headers:
    """What the upstream of exchange `ident` is told where its spans are exported: the same trace, our span in it.

    A request without a trace begins one, that is named like the exchange.
    """
    flags = passed[0][1][-2:] if passed else "01"
    return (("traceparent", f"00-{trace or root(ident)}-{client_span(ident)}-{flags}"), *passed[1:])


def root(ident: str) -> str:
    """The id of a trace that begins with exchange `ident`: 32 hexadecimal digits."""
    match = _IDENT.fullmatch(ident)
    return match[1] if match else sha256(ident.encode()).hexdigest()[:32]


def server_span(ident: str) -> str:
    """Of the exchange itself: 16 hexadecimal digits."""
    return root(ident)[:16]


def client_span(ident: str) -> str:
    """Of what was asked of upstreams for it."""
    return root(ident)[16:]


def other_span(ident: str, what: str) -> str:
    """Of something else within it, `what`."""
    return sha256(f"{ident} {what}".encode()).hexdigest()[:16]
