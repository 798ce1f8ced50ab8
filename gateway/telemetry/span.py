"""A span, and what happened in it, as plain values. Times are nanoseconds since 1970."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

Value = str | bool | int | float | Sequence[str]
Attributes = Mapping[str, Value]

INTERNAL, SERVER, CLIENT = 1, 2, 3
"""Kinds, as OTLP counts them."""


@dataclass(frozen=True, slots=True)
class Happening:
    """Something at one moment of a span."""

    name: str
    at: int
    attributes: Attributes = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Span:
    """`trace` has 32 hexadecimal digits, `id` and `parent` 16; a root has no parent. `error` is a code, or empty."""

    trace: str
    id: str
    parent: str
    name: str
    kind: int
    start: int
    end: int
    attributes: Attributes
    error: str = ""
    happenings: tuple[Happening, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """A record of the log signal."""

    name: str
    at: int
    attributes: Attributes
    grave: bool = False
    trace: str = ""
    span: str = ""


def instant(ts: str) -> int:
    """Of an event's `ts`."""
    return int(datetime.fromisoformat(ts).timestamp() * 1_000_000) * 1000


def nanoseconds(ms: float | None) -> int:
    return int((ms or 0.0) * 1_000_000)


def present(attributes: Mapping[str, Value | None]) -> dict[str, Value]:
    """Less what is not known: nothing, or an empty text or list."""
    return {name: value for name, value in attributes.items() if value is not None and value not in ("", [], ())}
