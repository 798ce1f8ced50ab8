"""Tools in a body's passages: the names a request defines, and the calls a model makes, each with its arguments."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gateway.wire.passage import Passage, Path

_DEFINED = frozenset({("tools", "function", "name"), ("tools", "custom", "name"), ("tools", "name"), ("tools", "type")})
_CHOSEN = frozenset({("functions", "name"), ("function_call", "name"), ("function_call",), ("tool_choice", "name")})
_NAMERS = frozenset({"function", "custom", "function_call"})
_MODES = frozenset({"auto", "none", "required", "any", "function", "custom"})


@dataclass(frozen=True, slots=True)
class Call:
    """Arguments at `place` of the passages, and the names they may be meant for: one, unless a stream is muddled."""

    place: int
    names: tuple[str, ...]


def defined(passage: Passage) -> bool:
    """Whether a request's passage names a tool that the model may use; hosted tools are named by their type."""
    if passage.direction != "input":
        return False
    shape = _shape(passage.path)
    named = shape in _DEFINED or shape in _CHOSEN or (shape[:1] == ("tool_choice",) and shape[-1] == "name")
    return named and not (shape[-1] != "name" and passage.text in _MODES)


def named(passage: Passage) -> bool:
    """Whether an answer's passage is the name of a tool that the model calls."""
    path = passage.path
    if passage.direction != "output" or len(path) < 2 or path[-1] != "name":
        return False
    return path[-2] in _NAMERS or isinstance(path[-2], int)


def _argued(passage: Passage) -> bool:
    if passage.direction != "output":
        return False
    return passage.channel == "arguments" or passage.path[-2:] == ("custom", "input")


def calls(passages: Sequence[Passage]) -> Iterator[Call]:
    """Every call's arguments with the name that stands beside them.

    In a stream two calls may stand in the same place of their chunks: arguments then belong to the name before them,
    and where that leaves several, to each of these.
    """
    beside: defaultdict[Path, list[str]] = defaultdict(list)
    for passage in passages:
        if named(passage):
            beside[passage.path[:-1]].append(passage.text)
    waiting: defaultdict[Path, list[str]] = defaultdict(list)
    for place, passage in enumerate(passages):
        prefix = passage.path[:-1]
        if named(passage):
            waiting[prefix].append(passage.text)
        elif _argued(passage):
            before = waiting.pop(prefix, []) if len(beside[prefix]) > 1 else []
            yield Call(place, tuple(before or beside[prefix]))


def _shape(path: Path) -> tuple[str, ...]:
    return tuple(step for step in path if isinstance(step, str))
