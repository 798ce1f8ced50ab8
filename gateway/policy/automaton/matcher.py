"""A whole text matched at once, by RE2: linear in the text whatever the expressions are."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import re2

from gateway.policy.automaton.scanner import Match

MEMORY = 64 << 20  # bytes for one expression's program and its state cache; RE2's own default is 8 MiB
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Matcher:
    """`any` is all `rules` in one: a text that it does not find is done with in one pass."""

    any: re2._Regexp
    rules: tuple[re2._Regexp, ...]

    def matches(self, text: str) -> list[Match]:
        """Leftmost-longest matches, not overlapping, of each rule; offsets are code points.

        Lone surrogates, which no encoding has, are read as U+FFFD.
        """
        data = encoded(text)
        if self.any.search(data) is None:
            return []
        spans = [(m.start(), m.end(), rule) for rule, one in enumerate(self.rules) for m in one.finditer(data)]
        if len(data) == len(text):
            return [Match(*span) for span in spans]
        place = _places(data, {offset for start, end, _ in spans for offset in (start, end)})
        return [Match(place[start], place[end], rule) for start, end, rule in spans]


def encoded(text: str) -> bytes:
    """UTF-8 with as many characters as `text`."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text).encode()


def compiled(source: str) -> re2._Regexp:
    """Raises `re2.error`."""
    options = re2.Options()
    options.longest_match = True
    options.never_capture = True
    options.log_errors = False
    options.max_mem = MEMORY
    return re2.compile(source.encode(), options)


def matcher(sources: Sequence[str]) -> Matcher:
    joined = "|".join(f"(?:{source})" for source in sources)
    return Matcher(compiled(joined), tuple(compiled(source) for source in sources))


def _places(data: bytes, offsets: set[int]) -> dict[int, int]:
    """Byte offset -> code points before it."""
    out: dict[int, int] = {}
    at = count = 0
    for offset in sorted(offsets):
        count += len(data[at:offset].decode())
        out[offset], at = count, offset
    return out
