"""Server-sent events, without I/O: bytes in, events out, and back.

Rules: how the bytes are split does not change the events; every byte fed is in exactly one event's `raw`, in
order, so an event nobody touched is forwarded as it came. Source: WHATWG HTML, "Server-sent events", 9.2.5–9.2.6.
"""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_EVENT = 8 * 1024 * 1024
"""Bytes one event may have. A 5 MiB event was seen in the wild (an image as base64); twice that is a fault."""

DATA = b"data: "
"""How nearly all events begin."""

DONE = b"[DONE]"
"""OpenAI's last event."""

# A CR that ends what has come so far may be half of a CRLF: only the next byte tells.
_BLANK_LINE = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r(?=[^\n]))")
_LINE_END = re.compile(rb"\r\n|\n|\r")
_LONGEST_END = len(b"\r\n\r\n")
_BOM = b"\xef\xbb\xbf"


class Oversized(ValueError):
    """An event that does not end within `MAX_EVENT` bytes."""


class Event(NamedTuple):
    """One event: its `data` (lines joined by LF), the bytes it came as, and its other lines.

    `other` are the lines that are not data (comments, `event`, `id`, `retry`, unknown fields), each ended by LF; a
    comment has no `data` and an `other`.
    """

    data: bytes
    raw: bytes
    other: bytes = b""


class Decoder:
    """Feed bytes as they come, `finish` when no more do."""

    __slots__ = ("_buffer", "_searched")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0  # no event ends before this offset

    @property
    def between(self) -> bool:
        """Whether the next byte begins an event."""
        return not self._buffer

    def feed(self, chunk: bytes) -> list[Event]:
        """Events that `chunk` completes. Raises `Oversized`."""
        if not self._buffer and plain(chunk):
            return [Event(chunk[6:-2], chunk)]
        self._buffer += chunk
        events: list[Event] = []
        start = 0
        while end := self._end(start):
            events.append(parsed(bytes(self._buffer[start:end])))
            start = end
        del self._buffer[:start]
        self._searched = max(0, len(self._buffer) - _LONGEST_END)
        if len(self._buffer) > MAX_EVENT:
            raise Oversized(f"an event is longer than {MAX_EVENT} bytes")
        return events

    def finish(self) -> list[Event]:
        """What no blank line has ended. A browser would drop it; other clients read it, so it is an event here."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        self._searched = 0
        return [parsed(rest)] if rest else []

    def _end(self, start: int) -> int:
        """Offset just past the first blank line after `start`, or 0."""
        found = _BLANK_LINE.search(self._buffer, max(start, self._searched))
        return found.end() if found else 0


def plain(raw: bytes) -> bool:
    """Whether `raw` is one event as nearly all of them come."""
    return raw.startswith(DATA) and raw.endswith(b"\n\n") and raw.find(b"\n") == len(raw) - 2 and b"\r" not in raw


def parsed(raw: bytes) -> Event:
    """The event that `raw` spells."""
    if plain(raw):
        return Event(raw[6:-2], raw)
    data: list[bytes] = []
    other: list[bytes] = []
    for line in _LINE_END.split(raw.removeprefix(_BOM)):
        field, _, value = line.partition(b":")
        if field == b"data":
            data.append(value.removeprefix(b" "))
        elif line:
            other.append(line + b"\n")
    return Event(b"\n".join(data), raw, b"".join(other))


def encoded(data: bytes, other: bytes = b"") -> bytes:
    """`data` as one event's bytes, after its `other` lines."""
    return other + b"".join(b"data: " + line + b"\n" for line in data.split(b"\n")) + b"\n"
