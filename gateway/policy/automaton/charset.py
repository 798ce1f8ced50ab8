"""Sets of code points: sorted, disjoint, closed ranges. What a Unicode class or folded case holds is asked of RE2."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache

import re2

Ranges = tuple[tuple[int, int], ...]

LAST = 0x10FFFF
SURROGATES = (0xD800, 0xDFFF)
ANY: Ranges = ((0, LAST),)
WORD: Ranges = ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))
NEWLINE: Ranges = ((0x0A, 0x0A),)
_DIGIT: Ranges = ((0x30, 0x39),)
_SPACE: Ranges = ((0x09, 0x0A), (0x0C, 0x0D), (0x20, 0x20))
PERL = {"d": _DIGIT, "s": _SPACE, "w": WORD}


def union(sets: Iterable[tuple[int, int]]) -> Ranges:
    out: list[tuple[int, int]] = []
    for low, high in sorted(sets):
        if out and low <= out[-1][1] + 1:
            out[-1] = (out[-1][0], max(high, out[-1][1]))
        else:
            out.append((low, high))
    return tuple(out)


def inverted(ranges: Ranges) -> Ranges:
    out, at = [], 0
    for low, high in ranges:
        if low > at:
            out.append((at, low - 1))
        at = high + 1
    if at <= LAST:
        out.append((at, LAST))
    return tuple(out)


def intersects(ranges: Ranges, other: Ranges) -> bool:
    return any(a <= d and c <= b for a, b in ranges for c, d in other)


@cache
def named(source: str) -> Ranges:
    r"""What a class of RE2's matches, such as `\pL` or `[[:alpha:]]`."""
    universe = _universe()
    return union((ord(universe[m.start()]), ord(universe[m.end() - 1])) for m in _runs(source, universe))


@cache
def folded(ranges: Ranges) -> Ranges:
    """`ranges` and every letter that differs from one of theirs only in case."""
    if not intersects(ranges, _cased_ranges()):
        return ranges
    source = "(?i)[" + "".join(f"\\x{{{low:x}}}-\\x{{{high:x}}}" for low, high in ranges) + "]"
    cased = _cased()
    return union((*ranges, *((ord(c), ord(c)) for m in _runs(source, cased) for c in cased[m.start() : m.end()])))


@cache
def _universe() -> str:
    return "".join(map(chr, (*range(SURROGATES[0]), *range(SURROGATES[1] + 1, LAST + 1))))


@cache
def _cased_ranges() -> Ranges:
    # Letters with case, and the few characters that have it without being letters (Roman numerals, circled letters).
    return named(r"[\p{Lu}\p{Ll}\p{Lt}\p{Nl}\x{345}\x{24b6}-\x{24e9}]")


@cache
def _cased() -> str:
    return "".join(chr(c) for low, high in _cased_ranges() for c in range(low, high + 1))


def _runs(source: str, universe: str) -> Iterator[re2._Match]:
    runs: Iterator[re2._Match] = re2.compile(f"(?:{source})+").finditer(universe)
    return runs
