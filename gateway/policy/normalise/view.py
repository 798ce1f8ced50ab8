"""The views of a whole text: what it reads when folded, and what each of its runs carries.

A printable ASCII text without escapes and runs has none, and one pass of RE2 tells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from gateway.policy.automaton.dfa import Dfa
from gateway.policy.automaton.matcher import Matcher, matcher
from gateway.policy.automaton.nfa import built
from gateway.policy.automaton.scanner import Match
from gateway.policy.automaton.syntax import parsed
from gateway.policy.normalise.codes import BASE64, HEX, SELECTORS, TAGS, Code
from gateway.policy.normalise.escapes import ESCAPE, spelt
from gateway.policy.normalise.fold import Fold
from gateway.policy.normalise.runs import Decoder, Run

BLOCK = 64  # characters that are looked at at once on the way to a run's beginning
Span = tuple[int, int]
CONTROL = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"


@dataclass(frozen=True, slots=True)
class View:
    """`text` is what is read of `source`; `spans` tells of each of its characters what it was made of.

    A match counts if it ends at offset `least` of `source` or later.
    """

    source: str
    text: str
    spans: Callable[[], list[Span]]
    least: int = 0

    def matches(self, found: Iterable[Match], reworded: AbstractSet[int]) -> Iterator[Match]:
        """What was `found` in this view, as matches in the source.

        A rule that was `reworded` for folded texts counts only where something was folded: `schon` is no `schön`.
        """
        spans = None
        for match in found:
            spans = self.spans() if spans is None else spans
            start, end = spans[match.start][0], spans[match.end - 1][1]
            same = match.rule in reworded and self.source[start:end] == self.text[match.start : match.end]
            if end >= self.least and not same:
                yield Match(start, end, match.rule)


@dataclass(frozen=True, slots=True)
class Normal:
    """What a text says: folded, and in each of its runs."""

    folded: View
    decoded: tuple[View, ...]


@dataclass(frozen=True, slots=True)
class Normaliser:
    """Makes views. Shared by all texts: it remembers how characters fold."""

    fold: Fold = field(default_factory=Fold)
    escapes: Matcher = field(default_factory=lambda: matcher([ESCAPE]))
    spelling: Dfa = field(default_factory=lambda: Dfa(built([parsed(ESCAPE)])))
    # Of a printable ASCII text: an escape, or where a run may carry text.
    suspect: Matcher = field(default_factory=lambda: matcher([ESCAPE, CONTROL, BASE64.head, HEX.head]))
    altered: Matcher = field(default_factory=lambda: matcher([ESCAPE, CONTROL]))
    starts: Matcher = field(default_factory=lambda: matcher([BASE64.head, HEX.head]))

    def normal(self, text: str) -> Normal:
        views = self.views(text)
        if views and views[0].least < 0:
            return Normal(views[0], tuple(views[1:]))
        return Normal(View(text, text, lambda: [(i, i + 1) for i in range(len(text))]), tuple(views))

    def views(self, text: str) -> list[View]:
        """All that `text` says beside itself."""
        if not text.isascii():
            return [*self._folded(text), *self._decoded(text)]
        data = text.encode()
        if self.suspect.any.search(data) is None:
            return []
        folded = self._folded(text) if self.altered.any.search(data) is not None else ()
        return [*folded, *self._decoded(text)]

    def _folded(self, text: str) -> Iterator[View]:
        pieces = list(self._pieces(text))
        folded = "".join(new.translate(self.fold) for _, _, new in pieces)
        if folded != text:
            yield View(text, folded, lambda: list(self._spans(pieces)), -1)

    def _pieces(self, text: str) -> Iterator[tuple[int, int, str]]:
        """(start, end, what it reads) of each escape and of all that stands between."""
        at = 0
        for escape in self.escapes.matches(text):
            yield at, escape.start, text[at : escape.start]
            yield escape.start, escape.end, spelt(text[escape.start : escape.end])
            at = escape.end
        yield at, len(text), text[at:]

    def _spans(self, pieces: list[tuple[int, int, str]]) -> Iterator[Span]:
        for start, end, new in pieces:
            literal = len(new) == end - start
            for index, char in enumerate(new):
                span = (start + index, start + index + 1) if literal else (start, end)
                yield from (span for _ in self.fold[ord(char)])

    def _decoded(self, text: str) -> Iterator[View]:
        found = self.starts.matches(text)
        for code, rule in ((BASE64, 0), (HEX, 1)):
            heads = (m.end - code.enough for m in found if m.rule == rule)
            yield from self._runs(code, text, [head for head in heads if _promising(code, text, head)])
        if not text.isascii():
            for code in (TAGS, SELECTORS):
                yield from self._runs(code, text, [m.start() for m in code.symbols.finditer(text)])

    def _runs(self, code: Code, text: str, places: list[int]) -> Iterator[View]:
        """The views of the runs that `places` lie in."""
        done = 0
        for place in places:
            if place < done:
                continue
            start, done = _region(code, text, place, done)
            sink = _Collected(self.fold, text)
            decoder = Decoder(code, sink, before=text[max(0, start - 2) : start])
            decoder.feed(text[start:done], start)
            decoder.finish()
            yield from sink.views


@dataclass(slots=True)
class _Collected:
    """The texts of runs, put together."""

    fold: Fold
    source: str
    views: list[View] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    run: Run | None = None

    def text(self, chars: str, run: Run, given: int) -> None:
        del given  # parts follow one another
        self.parts.append(chars)
        self.run = run

    def close(self) -> None:
        text, run = "".join(self.parts), self.run
        self.parts = []
        if run is not None and run.given >= 4:  # bytes
            folded = text if text.isascii() else text.translate(self.fold)
            self.views.append(View(self.source, folded, lambda: self._spans(text, run), run.place(0) + run.code.enough))

    def _spans(self, text: str, run: Run) -> list[Span]:
        spans = run.spans(text, 0)
        return [span for char, span in zip(text, spans, strict=True) for _ in self.fold[ord(char)]]


def _promising(code: Code, text: str, head: int) -> bool:
    """Whether a run that begins at `head` carries four bytes of text, or one may begin within; most words do not."""
    symbols = text[head : head + code.enough]
    data = code.decode(symbols)
    try:
        return data.isascii() or not symbols.isalnum() or bool(data.decode())
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data"


def _region(code: Code, text: str, place: int, since: int) -> Span:
    """The run around `place`, with the lines before and behind that may belong to it."""
    start = _first(code, text, place, since)
    while code.wraps and (line := _line_before(text, start, since)) is not None:
        before = _first(code, text, line, since)
        if before == line:
            break
        start = before
    end = place
    while (found := code.symbols.match(text, end)) is not None:
        end = found.end()
        end += (2 if text.startswith("\r\n", end) else text.startswith("\n", end)) if code.wraps else 0
    return start, end


def _first(code: Code, text: str, place: int, since: int) -> int:
    while place - BLOCK >= since and code.symbols.fullmatch(text, place - BLOCK, place):
        place -= BLOCK
    while place > since and code.symbols.match(text, place - 1):
        place -= 1
    return place


def _line_before(text: str, start: int, since: int) -> int | None:
    """Where the line before the one that begins at `start` ends."""
    if start <= since or text[start - 1] != "\n":
        return None
    return start - 2 if text[start - 2 : start - 1] == "\r" else start - 1
