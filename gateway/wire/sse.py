"""Server-sent events, without I/O: bytes in, events out, and back.

Rules: how the bytes are split does not change the events; every byte fed is in exactly one event's `raw`, in
order, so an event nobody touched is forwarded as it came. Source: WHATWG HTML, "Server-sent events", 9.2.5–9.2.6.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_EVENT = 8 * 1024 * 1024
"""Bytes one event may have. A 5 MiB event was seen in the wild (an image as base64); twice that is a fault."""

_BLANK_LINE = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r(?!\n))")
_LINE_END = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"


class Oversized(ValueError):
    """An event that does not end within `MAX_EVENT` bytes."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event: its `data` (lines joined by LF; empty for comments), its `name`, and the bytes it came as."""

    data: bytes
    raw: bytes
    name: bytes = b""


class Decoder:
    """Feed bytes as they come; `rest` is what no blank line has ended yet."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = b""

    @property
    def rest(self) -> bytes:
        return self._buffer

    def feed(self, chunk: bytes) -> list[Event]:
        """Events that `chunk` completes. Raises `Oversized`."""
        buffer = self._buffer + chunk if self._buffer else chunk
        events: list[Event] = []
        at = 0
        while (end := _end_of_event(buffer, at)) > 0:
            events.append(parsed(buffer[at:end]))
            at = end
        self._buffer = buffer[at:] if at else buffer
        if len(self._buffer) > MAX_EVENT:
            raise Oversized(f"an event is longer than {MAX_EVENT} bytes")
        return events


def _end_of_event(buffer: bytes, at: int) -> int:
    """Offset just past the next blank line, or 0. Upstreams write LF almost always, so that is looked for first."""
    if b"\r" not in buffer:
        found = buffer.find(b"\n\n", at)
        return found + 2 if found >= 0 else 0
    match = _BLANK_LINE.search(buffer, at)
    return match.end() if match else 0


def parsed(raw: bytes) -> Event:
    """The event that `raw` spells."""
    if raw.startswith(b"data: ") and raw.find(b"\n") == len(raw) - 2 and b"\r" not in raw:
        return Event(raw[6:-2], raw)
    data: list[bytes] = []
    name = b""
    for line in _LINE_END.split(raw.removeprefix(_BOM)):
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value
    return Event(b"\n".join(data), raw, name)


def encoded(data: bytes, name: bytes = b"") -> bytes:
    """`data` as one event's bytes."""
    head = b"event: " + name + b"\n" if name else b""
    return head + b"".join(b"data: " + line + b"\n" for line in data.split(b"\n")) + b"\n"


DONE = b"[DONE]"
"""OpenAI's last event."""
