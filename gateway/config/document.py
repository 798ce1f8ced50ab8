"""A YAML file as plain values, each with the line it stands on; or the problems that keep it from being read.

Only plain YAML is read: no tags, no duplicate keys, no text that is not UTF-8, aliases as far as they stay small.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import SafeConstructor

from gateway.errors import ConfigError, Problem

Place = tuple[str | int, ...]

LARGEST = 1_048_576  # bytes; a policy with ten thousand patterns is a quarter of that
_NODES = 100_000  # what aliases may unfold to
_PLAIN = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")
_MERGE = "tag:yaml.org,2002:merge"


@dataclass(slots=True)
class Document:
    """`value` (dicts, tuples and scalars), `lines` by place in it, and what was wrong with single values.

    `hidden` places hold values that were not written in the file and must not be quoted in messages; of `refused`
    places something is said already.
    """

    file: str
    value: Any = None
    lines: dict[Place, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    hidden: set[Place] = field(default_factory=set)
    refused: set[Place] = field(default_factory=set)

    def line(self, place: Place) -> int:
        """The line of `place`, or of the nearest thing around it that is in the file."""
        return self.lines[place] if place in self.lines else self.line(place[:-1]) if place else 1

    def refuse(self, place: Place, message: str) -> None:
        name = dotted(place)
        self.refused.add(place)
        self.problems.append(Problem(self.file, self.line(place), f"{name}: {message}" if name else message))


def dotted(place: Place) -> str:
    """`routes[1].policy`"""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place).removeprefix(".")


def read(file: Path) -> Document:
    """Read one file. What cannot be read at all is one problem and the value None; never raises for what is in it."""
    document = Document(str(file))
    try:
        _Walk(document).root(_composed(file))
    except ConfigError as refused:
        document.problems += refused.problems
        document.value = None
    return document


def _composed(file: Path) -> yaml.Node | None:
    text = _text(file)
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as bad:
        mark = bad.problem_mark or bad.context_mark
        said = ", ".join(filter(None, (bad.context, bad.problem)))
        raise _refusal(file, mark.line + 1 if mark else 1, f"not YAML: {said}") from None
    except yaml.reader.ReaderError as bad:
        line = text.count("\n", 0, bad.position) + 1
        raise _refusal(file, line, f"character #x{int(bad.character):04x} may not stand in YAML") from None
    except RecursionError:
        raise _refusal(file, 1, "nested too deeply") from None


def _text(file: Path) -> str:
    try:
        if file.exists() and not file.is_file():
            raise _refusal(file, 1, "not a file")
        with file.open("rb") as opened:
            raw = opened.read(LARGEST + 1)
    except OSError as refused:
        raise _refusal(file, 1, f"cannot be read: {refused.strerror}") from None
    if len(raw) > LARGEST:
        raise _refusal(file, 1, f"larger than {LARGEST:,} bytes")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as bad:
        raise _refusal(file, raw.count(b"\n", 0, bad.start) + 1, "not UTF-8 text") from None


def _refusal(file: Path, line: int, message: str) -> ConfigError:
    return ConfigError([Problem(str(file), line, message)])


class _Walk:
    """From YAML's nodes to values. A value that is refused is None, and the walk goes on to find what else is wrong."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._scalars = SafeConstructor()
        self._seen = 0
        self._open: set[int] = set()

    def root(self, node: yaml.Node | None) -> None:
        self._document.value = self._value(node, ()) if node else None
        if self._document.value is None and not self._document.problems:
            self._document.refuse((), "empty")

    def _value(self, node: yaml.Node, place: Place) -> Any:
        self._document.lines.setdefault(place, node.start_mark.line + 1)
        self._count()
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, place)
        if node.tag not in _PLAIN:
            return self._refuse(place, f"tags such as {_short(node.tag)} are not read")
        if id(node) in self._open:
            return self._refuse(place, "contains itself")
        return self._nested(node, place)

    def _refuse(self, place: Place, message: str) -> None:
        self._document.refuse(place, message)

    def _count(self) -> None:
        self._seen += 1
        if self._seen > _NODES:
            raise ConfigError([Problem(self._document.file, 1, f"unfolds to more than {_NODES:,} values")])

    def _nested(self, node: yaml.Node, place: Place) -> Any:
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                return tuple(self._value(item, (*place, n)) for n, item in enumerate(node.value))
            return self._mapping(node, place)
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: yaml.Node, place: Place) -> dict[str, Any]:
        own: dict[str, Any] = {}
        for key, value in node.value:
            if key.tag != _MERGE and (name := self._key(key, place)) is not None:
                if name in own:
                    self._twice((*place, name), _line(key))
                self._document.lines.setdefault((*place, name), _line(key))
                own[name] = self._value(value, (*place, name))
        for key, value in node.value:
            if key.tag == _MERGE:
                own = {**self._merged(value, place), **own}
        return own

    def _twice(self, place: Place, line: int) -> None:
        message = f"{dotted(place)}: stands twice; the first is on line {self._document.lines[place]}"
        self._document.problems.append(Problem(self._document.file, line, message))

    def _merged(self, node: yaml.Node, place: Place) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for one in reversed(node.value) if isinstance(node, yaml.SequenceNode) else (node,):
            self._count()
            if not isinstance(one, yaml.MappingNode) or id(one) in self._open:
                self._document.refuse(place, "`<<` takes mappings")
            else:
                found |= self._nested(one, place)
        return found

    def _key(self, node: yaml.Node, place: Place) -> str | None:
        key = self._scalar(node, place) if isinstance(node, yaml.ScalarNode) else None
        if isinstance(key, str):
            return key
        self._document.problems.append(
            Problem(self._document.file, _line(node), f"{dotted(place)}: keys are text".removeprefix(": "))
        )
        return None

    def _scalar(self, node: yaml.ScalarNode, place: Place) -> Any:
        try:
            value = self._scalars.construct_object(node)
        except yaml.constructor.ConstructorError:
            return self._refuse(place, f"tags such as {_short(node.tag)} are not read")
        except ValueError:
            return self._refuse(place, "not a value of its type")
        if isinstance(value, float) and not math.isfinite(value):
            return self._refuse(place, "should be a finite number")
        return value


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _short(tag: str) -> str:
    return repr(tag.replace("tag:yaml.org,2002:", "!!")[:40])


def mappings(value: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    """The mappings in a list, with their numbers; nothing where `value` is not a list."""
    if isinstance(value, tuple):
        yield from ((n, item) for n, item in enumerate(value) if isinstance(item, dict))
