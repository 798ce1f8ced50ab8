"""What a scripted server can be told to do with one request, and what it remembers of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

Headers = Iterable[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Send:
    """Bytes, written at once and flushed to the kernel."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Wait:
    seconds: float


@dataclass(frozen=True, slots=True)
class Hang:
    """Keep the connection open and say nothing more until the client leaves."""


@dataclass(frozen=True, slots=True)
class Reset:
    """Close with a TCP RST (`SO_LINGER` 0), as a crashed or overloaded peer does."""


@dataclass(frozen=True, slots=True)
class Close:
    """Close with a FIN after what was sent. Without it the connection is kept alive for a next request."""


Step = Send | Wait | Hang | Reset | Close


@dataclass(frozen=True, slots=True)
class Script:
    """What to do with one request, and when: all of it came (`request`), its `head` did, or nothing yet (`accept`)."""

    steps: tuple[Step, ...]
    on: Literal["accept", "head", "request"] = "request"


@dataclass(slots=True)
class Seen:
    """One request as it came over the wire. `gone` is set once its connection is closed by the client."""

    connection: int
    method: str = ""
    target: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    raw: bytes = b""
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    played: asyncio.Event = field(default_factory=asyncio.Event)

    def header(self, name: str, default: str = "") -> str:
        return next((v for k, v in self.headers if k.lower() == name), default)

    def json(self) -> Any:
        return json.loads(self.body)


def head(status: int = 200, headers: Headers = (), reason: str = "Status") -> bytes:
    lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def chunk(data: bytes) -> bytes:
    """`data` as one chunk of a chunked body; empty data is the end of the body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def pieces(data: bytes, size: int, delay: float = 0.0) -> tuple[Step, ...]:
    """`data` sent `size` bytes at a time, `delay` seconds apart."""
    parts = (data[at : at + size] for at in range(0, len(data), size))
    return tuple(step for part in parts for step in (Send(part), Wait(delay)))
