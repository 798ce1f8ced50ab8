"""RE2's notation, read into a tree. The reader trusts that RE2 itself has compiled the expression."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import Enum

from gateway.policy.automaton.charset import (
    ANY,
    NEWLINE,
    PERL,
    Ranges,
    folded,
    inverted,
    named,
    union,
)


class Look(Enum):
    """What must stand around a place, without being part of the match."""

    BEGIN = "begin"
    END = "end"
    LINE_BEGIN = "line begin"
    LINE_END = "line end"
    BOUNDARY = "boundary"
    INSIDE = "inside"


@dataclass(frozen=True, slots=True)
class Chars:
    ranges: Ranges


@dataclass(frozen=True, slots=True)
class Place:
    look: Look


@dataclass(frozen=True, slots=True)
class Seq:
    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """`node` at least `low` times, at most `high`; `None` is no limit."""

    node: Node
    low: int
    high: int | None


Node = Chars | Place | Seq | Choice | Repeat


def parsed(source: str, *, ignore_case: bool = False) -> Node:
    r"""The tree of `source`. Raises `ValueError` for the one construct that splits characters, `\C`."""
    return _Reader(source, _Flags(i=ignore_case)).choice()


def longest(node: Node) -> int | None:
    """Characters in the longest match; `None` where there is no longest."""
    match node:
        case Chars():
            return 1
        case Place():
            return 0
        case Seq(nodes):
            return _sum([longest(n) for n in nodes])
        case Choice(nodes):
            found = [longest(n) for n in nodes]
            return None if None in found else max((n for n in found if n is not None), default=0)
        case Repeat(inner, _, high):
            once = longest(inner)
            if once == 0:
                return 0
            return None if once is None or high is None else once * high


def _sum(lengths: list[int | None]) -> int | None:
    return None if None in lengths else sum(n for n in lengths if n is not None)


@dataclass(frozen=True, slots=True)
class _Flags:
    i: bool = False
    m: bool = False
    s: bool = False


_COUNT = re.compile(r"\{(\d+)(,(\d*))?\}")
_GROUP = re.compile(r"\?(?:P?<\w+>|([imsU]*)(?:-([imsU]+))?([:)]))")
_PROPERTY = re.compile(r"[pP](?:\{\^?\w+\}|.)")
_HEX = re.compile(r"x(?:\{([0-9A-Fa-f]+)\}|([0-9A-Fa-f]{2}))")
_OCTAL = re.compile(r"0[0-7]{0,2}|[1-7][0-7]{1,2}")
_POSIX = re.compile(r"\[:\^?\w+:\]")
_CONTROL = {"a": 7, "f": 12, "t": 9, "n": 10, "r": 13, "v": 11}
_LOOKS = {"A": Look.BEGIN, "z": Look.END, "b": Look.BOUNDARY, "B": Look.INSIDE}


class _Reader:
    """Recursive descent, one method a rule of the grammar."""

    def __init__(self, source: str, flags: _Flags) -> None:
        self.source = source
        self.flags = flags
        self.at = 0

    def choice(self) -> Node:
        branches = [self.seq()]
        while self.take("|"):
            branches.append(self.seq())
        return branches[0] if len(branches) == 1 else Choice(tuple(branches))

    def seq(self) -> Node:
        nodes: list[Node] = []
        while self.at < len(self.source) and self.source[self.at] not in "|)":
            nodes += self.atoms()
            self.repeated(nodes)
        return nodes[0] if len(nodes) == 1 else Seq(tuple(nodes))

    def repeated(self, nodes: list[Node]) -> None:
        bounds = self.bounds()
        if bounds is not None:
            self.take("?")  # lazy or not is the same to leftmost-longest
            nodes[-1] = Repeat(nodes[-1], *bounds)

    def bounds(self) -> tuple[int, int | None] | None:
        for sign, bounds in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self.take(sign):
                return bounds
        count = self.match(_COUNT)
        if count is None:
            return None
        low = int(count[1])
        if count[2] is None:
            return low, low
        return low, int(count[3]) if count[3] else None

    def atoms(self) -> list[Node]:
        """One node; several for a quotation, none for a change of flags."""
        if self.take("("):
            return self.group()
        if self.take("\\"):
            return self.escape()
        return [self.atom(self.next())]

    def atom(self, char: str) -> Node:
        match char:
            case "[":
                return self.bracket()
            case ".":
                return Chars(ANY if self.flags.s else inverted(NEWLINE))
            case "^":
                return Place(Look.LINE_BEGIN if self.flags.m else Look.BEGIN)
            case "$":
                return Place(Look.LINE_END if self.flags.m else Look.END)
            case _:
                return self.literal(ord(char))

    def group(self) -> list[Node]:
        outer = self.flags
        head = self.match(_GROUP)
        if head is not None and head[3] is not None:
            self.flags = _switched(outer, head[1] or "", head[2] or "")
            if head[3] == ")":
                return []
        inner = self.choice()
        self.next()
        self.flags = outer
        return [inner]

    def escape(self) -> list[Node]:
        if self.take("Q"):
            return self.quotation()
        if self.take("E"):
            return []
        char = self.source[self.at]
        if char in _LOOKS:
            self.at += 1
            return [Place(_LOOKS[char])]
        return [Chars(self.escaped())]

    def quotation(self) -> list[Node]:
        end = self.source.find("\\E", self.at)
        text = self.source[self.at :] if end < 0 else self.source[self.at : end]
        self.at = len(self.source) if end < 0 else end + 2
        return [self.literal(ord(c)) for c in text]

    def escaped(self) -> Ranges:
        """What stands behind a backslash, alone or in a bracket, case folded as the flags say."""
        char = self.source[self.at]
        if char == "C":
            raise ValueError(r"\C matches half a character")
        if (prop := self.match(_PROPERTY)) is not None:
            return self.named("\\" + prop[0])
        if char.lower() in PERL:
            self.at += 1
            ranges = self.cased(PERL[char.lower()])
            return inverted(ranges) if char.isupper() else ranges
        return self.cased(_single(self.code()))

    def code(self) -> int:
        if (found := self.match(_HEX)) is not None:
            return int(found[1] or found[2], 16)
        if (found := self.match(_OCTAL)) is not None:
            return int(found[0], 8)
        char = self.next()
        return _CONTROL.get(char, ord(char))

    def bracket(self) -> Node:
        negative = self.take("^")
        found: list[tuple[int, int]] = []
        first = True
        while first or self.source[self.at] != "]":
            found += self.member()
            first = False
        self.at += 1
        ranges = union(found)
        return Chars(inverted(ranges) if negative else ranges)

    def member(self) -> Ranges:
        if (posix := self.match(_POSIX)) is not None:
            return self.named(f"[{posix[0]}]")
        escape = self.source[self.at] == "\\"
        if escape and self.source[self.at + 1] in "pPdDsSwW":
            self.at += 1
            return self.escaped()
        low = self.end()
        if self.source[self.at] != "-" or self.source[self.at + 1] == "]":
            return self.cased(_single(low))
        self.at += 1
        return self.cased(((low, self.end()),))

    def end(self) -> int:
        return self.code() if self.take("\\") else ord(self.next())

    def literal(self, code: int) -> Node:
        return Chars(self.cased(_single(code)))

    def named(self, source: str) -> Ranges:
        return named(f"(?i){source}" if self.flags.i else source)

    def cased(self, ranges: Ranges) -> Ranges:
        return folded(ranges) if self.flags.i else ranges

    def next(self) -> str:
        self.at += 1
        return self.source[self.at - 1]

    def take(self, sign: str) -> bool:
        if not self.source.startswith(sign, self.at):
            return False
        self.at += len(sign)
        return True

    def match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self.source, self.at)
        if found is not None:
            self.at = found.end()
        return found


def _single(code: int) -> Ranges:
    return ((code, code),)


def _switched(flags: _Flags, on: str, off: str) -> _Flags:
    new = {name: True for name in on if name != "U"} | {name: False for name in off if name != "U"}
    return replace(flags, **new)


_WRITTEN = {
    Look.BEGIN: r"\A",
    Look.END: r"\z",
    Look.LINE_BEGIN: "(?m:^)",
    Look.LINE_END: "(?m:$)",
    Look.BOUNDARY: r"\b",
    Look.INSIDE: r"\B",
}


def written(node: Node) -> str:
    """`node` in RE2's notation."""
    match node:
        case Chars(ranges):
            members = "".join(f"\\x{{{low:x}}}-\\x{{{high:x}}}" for low, high in ranges)
            return f"[{members}]" if ranges else r"[^\x00-\x{10FFFF}]"
        case Place(look):
            return _WRITTEN[look]
        case Seq(nodes):
            return "".join(written(n) for n in nodes)
        case Choice(nodes):
            return "(?:" + "|".join(written(n) for n in nodes) + ")"
        case Repeat(inner, low, high):
            bounds = "" if high is None else high
            return f"(?:{written(inner)}){{{low},{bounds}}}"
