"""Runs of symbols that carry a text: base64, hexadecimal, Unicode tags, variation selectors.

A run is read from its first symbol on. It is a text as long as its bytes are UTF-8 without control characters; at the
first byte that is not, the rest of the run is passed over (up to the next `/`, `+`, `-` or `_` in base64, behind which
a path or a URL may carry another one). Words of a language are such runs too: few get past their second letter.
"""

from __future__ import annotations

import re
from binascii import a2b_base64
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from operator import itemgetter
from typing import Protocol

WRAP = 32  # symbols; a line of base64 at least this long may go on in the next line (MIME has 76, PEM 64)


@dataclass(frozen=True, slots=True)
class Code:
    """`bits` a symbol; after `group` symbols bytes and symbols are level again.

    A match counts if it ends at the `enough`th symbol or later: what carries less than four bytes proves nothing.
    `first` and `pair` are how a run that may be text begins; `zero` and `one` the symbols of all bits unset and set.
    What is no text is passed over to `until`, or, if that is a symbol itself, behind it. Where `apart`, no run begins
    behind a letter or a digit. Where `wraps`, it may go on in the next line.
    """

    bits: int
    group: int
    symbol: re.Pattern[str]
    symbols: re.Pattern[str]  # one or more
    decode: Callable[[str], bytes]
    enough: int
    zero: str
    one: str
    first: re.Pattern[str]
    pair: re.Pattern[str]
    until: re.Pattern[str]
    apart: bool = False
    wraps: bool = False


class Sink(Protocol):
    """Where decoded text goes. `text` gives characters of `run`, made from its `given`th byte on; `close` ends it."""

    def text(self, chars: str, run: Run, given: int) -> None: ...

    def close(self) -> None: ...


_URL_SAFE = str.maketrans("-_", "+/")


def _base64(symbols: str) -> bytes:
    whole = symbols[:-1] if len(symbols) % 4 == 1 else symbols
    return a2b_base64(whole.translate(_URL_SAFE) + "=" * (-len(whole) % 4))


def _hex(symbols: str) -> bytes:
    return bytes.fromhex(symbols[: len(symbols) // 2 * 2])


def _tags(symbols: str) -> bytes:
    return bytes(ord(c) & 0x7F for c in symbols)


def _selectors(symbols: str) -> bytes:
    return bytes(c - 0xFE00 if c < 0xFE10 else c - 0xE0100 + 16 for c in map(ord, symbols))


def _hidden(symbols: str, decode: Callable[[str], bytes]) -> Code:
    """A byte a symbol."""
    return Code(
        bits=8,
        group=1,
        symbol=re.compile(f"[{symbols}]"),
        symbols=re.compile(f"[{symbols}]+"),
        decode=decode,
        enough=4,
        zero="",
        one="",
        first=re.compile(""),
        pair=re.compile(""),
        until=re.compile(f"[^{symbols}]"),
    )


BASE64 = Code(
    bits=6,
    group=4,
    symbol=re.compile(r"[A-Za-z0-9+/_-]"),
    symbols=re.compile(r"[A-Za-z0-9+/_-]+"),
    decode=_base64,
    enough=6,
    zero="A",
    one="/",
    # Tab, line end, printable, or the first byte of several; then any of those, or the second byte of several.
    first=re.compile(r"[CDI-Za-fw-z0-9]"),
    pair=re.compile(r"[CDI-Za-f][ACDEFGHMNOPQSTUVWXcdefgijklmnstuvwyz012389+/_-]|[w-z0-9][IJKLYZabopqr4567]"),
    until=re.compile(r"[^A-Za-z0-9]"),
    wraps=True,
)
HEX = Code(
    bits=4,
    group=2,
    symbol=re.compile(r"[0-9A-Fa-f]"),
    symbols=re.compile(r"[0-9A-Fa-f]+"),
    decode=_hex,
    enough=8,
    zero="0",
    one="f",
    first=re.compile(r"[02-7c-fC-F]"),
    pair=re.compile(r"0[9adAD]|[2-7c-fC-F]"),
    until=re.compile(r"[^0-9A-Fa-f]"),
    apart=True,
)
TAGS = _hidden("\U000e0020-\U000e007e", _tags)
SELECTORS = _hidden("\ufe00-\ufe0f\U000e0100-\U000e01ef", _selectors)
CODES = (BASE64, HEX, TAGS, SELECTORS)

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


@dataclass(slots=True)
class Run:
    """One run while it is still text. `places` are (symbol, offset) where offsets jump: its start, after line ends."""

    code: Code
    places: list[tuple[int, int]]
    symbols: int = 0
    given: int = 0  # bytes whose characters were given out
    group: str = ""  # the last symbols, not level yet
    partial: bytes = b""  # bytes that make no whole character yet
    line: int = 0  # symbols since the last line end

    def place(self, symbol: int) -> int:
        first, offset = self.places[bisect_right(self.places, symbol, key=itemgetter(0)) - 1]
        return offset + symbol - first

    def read(self, symbols: str) -> tuple[str, int | None]:
        """The characters that `symbols` make whole; the symbol that shows that the run is no text any longer, if so."""
        self.symbols += len(symbols)
        self.line += len(symbols)
        group = self.group + symbols
        fresh = self.code.decode(group)[len(self.code.decode(self.group)) :]
        self.group = group[len(group) // self.code.group * self.code.group :]
        text, bad = self._text(self.partial + fresh)
        return text, None if bad is None else (8 * (self.given + bad + 1) - 1) // self.code.bits

    def _text(self, data: bytes) -> tuple[str, int | None]:
        """The whole characters of `data`, and its first byte that does not belong to a text."""
        text, bad, self.partial = "", None, b""
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            text = data[: error.start].decode()
            if error.reason == "unexpected end of data":
                self.partial = data[error.start :]
            else:
                bad = error.start if error.reason == "invalid start byte" else error.end
        if (control := _CONTROL.search(text)) is not None:
            text = text[: control.start()]
            bad = len(text.encode()) + (control[0] >= "\x80")
        return text, bad

    def spans(self, text: str, given: int) -> list[tuple[int, int]]:
        """Of each character of `text`, made from the `given`th byte on: from its first symbol to its last."""
        out = []
        for char in text:
            first = 8 * given // self.code.bits
            given += 1 if char < "\x80" else len(char.encode())
            out.append((self.place(first), self.place((8 * given - 1) // self.code.bits) + 1))
        return out

    def undecided(self) -> int | None:
        """Offset of the first symbol that is part of no whole character yet."""
        first = 8 * self.given // self.code.bits
        return self.place(first) if first < self.symbols else None

    def next(self) -> tuple[int, int]:
        """The least and the greatest byte that may come next."""
        at, code = len(self.code.decode(self.group)), self.code
        return code.decode(self.group + code.zero * code.group)[at], code.decode(self.group + code.one * code.group)[at]


@dataclass(slots=True)
class Decoder:
    """Follows a text and gives the decoded text of its runs of one code to `sink`."""

    code: Code
    sink: Sink
    run: Run | None = None  # that is still text
    passing: bool = False  # over one that is not
    before: str = ""  # the last two characters
    wrapping: str = ""  # the line end behind `run`, as far as it came

    def feed(self, text: str, at: int) -> None:
        """The text goes on with `text`, which stands at offset `at`."""
        here = 0
        while here < len(text):
            if self.run is not None:
                here = self._read(self.run, text, here, at)
            elif self.passing:
                here = self._pass(text, here)
            else:
                here = self._seek(text, here, at)
        self.before = (self.before + text)[-2:]

    def finish(self) -> None:
        """The text ends."""
        if self.run is not None:
            self._close()
        self.passing, self.before = False, ""

    def _seek(self, text: str, here: int, at: int) -> int:
        found = self.code.symbol.search(text, here)
        if found is None:
            return len(text)
        start = found.start()
        if (self.code.apart and self._joined(text, start)) or not self.code.first.match(text, start):
            self.passing = True
            return start
        if self.code.symbol.match(text, start + 1) and not self.code.pair.match(text, start):
            self.passing = True
            return start + 2
        self.run = Run(self.code, [(0, at + start)])
        return start

    def _joined(self, text: str, start: int) -> bool:
        """Whether a letter or digit stands before `start`, other than the `0x` of a number."""
        before = text[max(0, start - 2) : start] if start > 1 else (self.before + text[:start])[-2:]
        return before[-1:].isalnum() and before not in {"0x", "0X"}

    def _pass(self, text: str, here: int) -> int:
        found = self.code.until.search(text, here)
        if found is None:
            return len(text)
        self.passing = False
        return found.end() if self.code.symbol.match(text, found.start()) else found.start()

    def _read(self, run: Run, text: str, here: int, at: int) -> int:
        if self.wrapping:
            return self._wrapped(run, text, here, at)
        if run.symbols == 1 and self.code.symbol.match(text, here) and not self.code.pair.match(run.group + text[here]):
            return self._lost(here + 1)
        # Twice as much each time: a long text is read at once, and little in vain of what turns out to be none.
        found = self.code.symbols.match(text, here, here + max(64, run.symbols))
        end = found.end() if found is not None else here
        if found is not None:
            chars, bad = run.read(found[0])
            if chars:
                given = run.given
                run.given += len(chars.encode())
                self.sink.text(chars, run, given)
            if bad is not None:
                return self._lost(run.place(bad) + 1 - at)
        if end < len(text) and not self.code.symbol.match(text, end):
            if text[end] in "\r\n" and self.code.wraps and run.line >= WRAP:
                self.wrapping = text[end]
                return end + 1
            self._close()
        return end

    def _wrapped(self, run: Run, text: str, here: int, at: int) -> int:
        if self.wrapping == "\r" and text[here] == "\n":
            self.wrapping = "\n"
            return here + 1
        if self.wrapping == "\n" and self.code.symbol.match(text, here):
            run.places.append((run.symbols, at + here))
            run.line, self.wrapping = 0, ""
        else:
            self._close()
        return here

    def _lost(self, here: int) -> int:
        self._close()
        self.passing = True
        return here

    def _close(self) -> None:
        self.sink.close()
        self.run, self.wrapping = None, ""
