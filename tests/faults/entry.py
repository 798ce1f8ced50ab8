"""One entry of the table of faults: what is done to the gateway, and how that must end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
from support.script import Script

if TYPE_CHECKING:
    from faults.stand import Stand

PATH = b"/v1/chat/completions"
ASK: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hello canary"}]}
GONE = 0
"""In place of a status: the connection is closed without a word."""


@dataclass(frozen=True, slots=True)
class Raw:
    """Bytes of a client. `statuses` are those that the answer may have."""

    sent: bytes
    statuses: tuple[int, ...]
    tls: bool = False


@dataclass(frozen=True, slots=True)
class Up:
    """An upstream that does as the script says; what its client gets, streamed or not.

    `fault` is the code of the error that ends it, `""` for none; `said` stands in what is told.
    """

    script: Script
    status: int
    fault: str = ""
    stream: bool = False
    said: bytes = b""
    due_s: float = 1.2  # when it must have ended at the latest


@dataclass(frozen=True, slots=True)
class Deed:
    """Anything else: does it, and asserts how it ended."""

    do: Callable[[Stand], Awaitable[None]]


Try = Raw | Up | Deed


@dataclass(frozen=True, slots=True)
class Entry:
    """`tries` are made here; `proofs` are tests that stand elsewhere, `apart` why there is neither."""

    number: int
    fault: str
    end: str
    tries: tuple[Try, ...] = ()
    proofs: tuple[str, ...] = ()
    apart: str = ""


def head(*lines: bytes, first: bytes = b"POST " + PATH + b" HTTP/1.1") -> bytes:
    return b"\r\n".join([first, *lines]) + b"\r\n\r\n"


KEY = b"Authorization: Bearer sk-good"
BARE = b"Host: gateway"
HOST = BARE + b"\r\n" + KEY
JSON = b"Content-Type: application/json"
BODY = orjson.dumps(ASK)
SIZED = b"Content-Length: %d" % len(BODY)
CHUNKED = b"Transfer-Encoding: chunked"


def chunks(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (*parts, b""))


def whole(*lines: bytes, body: bytes = BODY, first: bytes = b"POST " + PATH + b" HTTP/1.1") -> bytes:
    """A request that is right but for `lines`."""
    return head(HOST, JSON, b"Content-Length: %d" % len(body), *lines, first=first) + body


def post(body: Any, *statuses: int, path: bytes = PATH, lines: tuple[bytes, ...] = ()) -> Raw:
    """A good request with that body."""
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    return Raw(whole(*lines, body=raw, first=b"POST " + path + b" HTTP/1.1"), statuses or (400,))


def asked(*statuses: int, **fields: Any) -> Raw:
    """A chat request with some fields otherwise."""
    return post({**ASK, **fields}, *statuses)


def message(*statuses: int, **fields: Any) -> Raw:
    return asked(*statuses, messages=[{"role": "user", "content": "hello", **fields}])
