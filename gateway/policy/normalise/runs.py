"""Runs of symbols that carry a text, followed symbol by symbol.

A run is read from its first symbol on. It is a text as long as its bytes are UTF-8 without control characters; from the
first byte that is not, another one is looked for: in base64 behind the next character that is no letter or digit, so
also behind the `/` of a path. Words of a language are such runs too: few get past their second letter.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from operator import itemgetter
from typing import Protocol

from gateway.policy.normalise.codes import Code

WRAP = 32  # symbols; a line of base64 at least this long may go on in the next line (MIME has 76, PEM 64)
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


class Sink(Protocol):
    """Where decoded text goes. `text` gives characters of `run`, made from its `given`th byte on; `close` ends it."""

    def text(self, chars: str, run: Run, given: int) -> None: ...

    def close(self) -> None: ...


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
    before: str = ""  # the last two characters
    run: Run | None = None  # that is still text
    wrapping: str = ""  # the line end behind `run`, as far as it came

    def feed(self, text: str, at: int) -> None:
        """The text goes on with `text`, which stands at offset `at`."""
        here = len(self.before)
        text = self.before + text
        while here < len(text):
            if self.run is not None:
                here = self._read(self.run, text, here, at - len(self.before))
            elif (found := self.code.seek.search(text, here)) is not None:
                here = found.start()
                self.run = Run(self.code, [(0, at - len(self.before) + here)])
            else:
                break
        self.before = text[-2:]

    def finish(self) -> None:
        """The text ends."""
        if self.run is not None:
            self._close()
        self.before = ""

    def _read(self, run: Run, text: str, here: int, at: int) -> int:
        symbol = self.code.symbol
        if self.wrapping:
            return self._wrapped(run, text, here, at)
        if run.symbols == 1 and symbol.match(text, here) and not self.code.pair.match(run.group + text[here]):
            return self._lost(run, 1, at)
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
                return self._lost(run, bad, at)
        if end < len(text) and not symbol.match(text, end):
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

    def _lost(self, run: Run, bad: int, at: int) -> int:
        """`run` turned out to be no text at its symbol `bad`; where the next one is to be looked for."""
        self._close()
        return run.place(max(bad, 1)) - at

    def _close(self) -> None:
        self.sink.close()
        self.run, self.wrapping = None, ""
