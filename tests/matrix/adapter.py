"""What an endpoint must tell of itself to be in the matrix: where a request may carry text, and where an answer may.

A new endpoint is a module with an `Adapter` and a line in `adapters.ADAPTERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

Json = dict[str, Any]
NO_ROLE = "none"


@dataclass(frozen=True, slots=True)
class Shape:
    """A place in a request. `put` makes a message of one of `roles`, or, where there are none, fields of the body."""

    put: Callable[[str], Json]
    roles: tuple[str, ...] = ()
    covered: bool = True


@dataclass(frozen=True, slots=True)
class Channel:
    """A place in an answer. `put` makes a part of a message, a choice or the whole answer, as `of` says.

    `grows`: whether pieces in several chunks make up one text. `only`: `stream` or `whole`, where it is in one alone.
    """

    put: Callable[[str], Json]
    of: str = "message"
    grows: bool = True
    only: str = ""
    covered: bool = True


@dataclass(frozen=True, slots=True)
class Line:
    """A place in a stream that is no JSON: `put` makes the bytes of an event."""

    put: Callable[[str], bytes]
    grows: bool = False
    only: str = "stream"
    covered: bool = True


@dataclass(frozen=True, slots=True)
class Said:
    """An answer to be given: the text's pieces, where it stands, in which choice."""

    channel: Channel | Line
    pieces: Sequence[str]
    choice: str


class Body(Protocol):
    def __call__(self, shape: Shape, role: str, text: str, turn: str, *, stream: bool) -> Json: ...


@dataclass(frozen=True, slots=True)
class Adapter:
    """`body` makes a request; `whole` and `chunks` what an upstream answers: JSON values, or an event's bytes.

    Without `whole` no upstream is asked: the endpoint tells what the rails say.
    """

    path: str
    shapes: Mapping[str, Shape]
    body: Body
    turns: Sequence[str] = ("only",)
    channels: Mapping[str, Channel | Line] = field(default_factory=dict)
    choices: Sequence[str] = ("0",)
    whole: Callable[[Said], Json] | None = None
    chunks: Callable[[Said], list[Json | bytes]] | None = None
    streams: bool = True
