"""The views of a text that still streams, each followed by its own scanner.

What is held, beside what the text itself may still match: from where the folded text may (an escape that is not
complete may stand for anything), and from where a run may: its symbols are held while the text they carry may be the
beginning of a match, or may carry the first character of one in bits that are not all there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from gateway.policy.automaton.scanner import Match, Scanner, crossed
from gateway.policy.normalise.ahead import Ahead
from gateway.policy.normalise.codes import Code
from gateway.policy.normalise.escapes import OPENERS, spelt
from gateway.policy.normalise.runs import Decoder, Run

SLICE = 32  # characters; a long text is looked at in pieces, so that most of it needs no scanner of its own
TURN = 4  # characters; after so many it is seen whether it still needs one
_SPECIAL = re.compile(f"[{OPENERS}]|[^\\t\\n\\r -~]")
_OPENER = re.compile(f"[{OPENERS}]")


@dataclass(slots=True)
class Folded:
    """The folded view. As long as it reads like the text itself, it is the text's own scanner that follows it."""

    raw: Scanner
    escapes: Scanner
    ahead: Ahead
    reworded: AbstractSet[int] = frozenset()  # rules that count only where something was folded
    own: Scanner | None = None  # while it reads otherwise
    altered: list[int] = field(default_factory=list)  # where that was
    base: int = 0  # what was fed to `own` ends here
    tail: str = ""  # what follows: an escape that may be going on

    def __post_init__(self) -> None:
        if self.ahead.dfa is not self.raw.dfa:
            self.own = Scanner(self.ahead.dfa)

    def feed(self, delta: str) -> None:
        """Both the text and its view go on with `delta`."""
        if self.own is None and self._plain(delta):
            self.raw.feed(delta)
            return
        for at in range(0, len(delta), SLICE):
            piece = delta[at : at + SLICE]
            while piece:
                if self.own is None:
                    piece = piece[self._shared(piece) :]
                self._differ(piece[:TURN])
                piece = piece[TURN:]

    def finish(self) -> None:
        if self.own is None:
            return
        self.escapes.finish()
        self._advance(self.raw.at)
        self.own.finish()

    def cut(self, limit: int) -> int:
        """As of a scanner. Nothing but whole escapes is let go: what is incomplete may stand for any character."""
        if self.own is None:
            return limit
        return self.own.cut(min(limit, self.base) if self.tail else limit)

    @property
    def busy(self) -> bool:
        return self.own is not None

    def take(self, upto: int) -> list[Match]:
        taken = self.own.take(upto) if self.own is not None else []
        if self.reworded:
            taken = [m for m in taken if m.rule not in self.reworded or any(m.start <= a < m.end for a in self.altered)]
            self.altered = [a for a in self.altered if a >= upto]
        return taken

    def _plain(self, text: str) -> bool:
        """Whether `text` reads as it stands."""
        if text.isascii():
            return _SPECIAL.search(text) is None
        return _OPENER.search(text) is None and text.translate(self.ahead.fold) == text

    def _shared(self, piece: str) -> int:
        """How much of `piece` the text's own scanner can follow for both; it has followed that."""
        if self._plain(piece):
            self.raw.feed(piece)
            return len(piece)
        at = here = 0
        while (found := _SPECIAL.search(piece, here)) is not None:
            start, end = found.span()
            if piece[start] in OPENERS:
                break
            here = end
            if self.ahead.fold[ord(piece[start])] != piece[start]:
                self.raw.feed(piece[at:start])
                at = start
                chars = piece[start : start + 2]
                here = start + self.ahead.alike(self.raw.config, chars[:1] if chars[-1] in OPENERS else chars)
                if here == start:
                    return start
        end = len(piece) if found is None else found.start()
        self.raw.feed(piece[at:end])
        return end

    def _differ(self, piece: str) -> None:
        if not piece:
            return
        if self.own is None:
            self._fork()
        self.raw.feed(piece)
        self.tail += piece
        self.escapes.feed(piece)
        self._advance(self.escapes.held())
        self._join()

    def _fork(self) -> None:
        raw = self.raw
        self.own = raw.twin()
        self.base = self.escapes.at = raw.at

    def _join(self) -> None:
        """Let the text's own scanner go on for both, where both have come to the same."""
        own, raw = self.own, self.raw
        if own is None or own.config is not raw.config or raw.config.states or self.tail:
            return
        if own.found:
            raw.adopt(own.matches)
        self.own = None

    def _advance(self, upto: int) -> None:
        """Give `own` what stands before `upto`."""
        for escape in self.escapes.take(upto):
            self._literal(escape.start)
            self._read(spelt(self._pass(escape.end)), escape.start, escape.end)
        self._literal(upto)

    def _literal(self, upto: int) -> None:
        start = self.base
        for at, char in enumerate(self._pass(upto), start):
            self._read(char, at, at + 1)

    def _pass(self, upto: int) -> str:
        passed, self.tail = self.tail[: upto - self.base], self.tail[upto - self.base :]
        self.base = upto
        return passed

    def _read(self, chars: str, start: int, end: int) -> None:
        if self.own is None:
            return
        new = chars.translate(self.ahead.fold)
        if self.reworded and (new != chars or end - start > 1):
            self.altered.append(start)
        for char in new:
            self.own.step(char, start, end)


@dataclass(slots=True)
class Carried:
    """The views that the runs of one code carry, one after the other."""

    code: Code
    ahead: Ahead
    own: Scanner = field(init=False)
    decoder: Decoder = field(init=False)
    found: list[Match] = field(default_factory=list)  # in runs that have ended

    def __post_init__(self) -> None:
        self.own = Scanner(self.ahead.dfa)
        self.decoder = Decoder(self.code, self)

    def feed(self, delta: str, at: int) -> None:
        self.decoder.feed(delta, at)

    def finish(self) -> None:
        self.decoder.finish()

    def cut(self, limit: int) -> int:
        run = self.decoder.run
        if run is None:
            return crossed(self.found, limit) if self.found else limit
        undecided = run.undecided()
        if undecided is not None and undecided < limit and self._may(run):
            limit = undecided
        return crossed([*self.found, *self._counting(run)], self.own.cut(limit))

    @property
    def busy(self) -> bool:
        return self.decoder.run is not None or bool(self.found)

    def take(self, upto: int) -> list[Match]:
        run = self.decoder.run
        counting = self._counting(run) if run is not None else ()
        if not self.found and not counting:
            return []
        taken = [m for m in (*self.found, *counting) if m.end <= upto]
        self.found = [m for m in self.found if m.end > upto]
        self.own.take(upto)
        return taken

    def text(self, chars: str, run: Run, given: int) -> None:
        for char, (start, end) in zip(chars, run.spans(chars, given), strict=True):
            for new in self.ahead.fold[ord(char)]:
                self.own.step(new, start, end)

    def close(self) -> None:
        run = self.decoder.run
        if run is not None and run.given:
            self.own.finish()
            self.found += self._counting(run)
            self.own.found = {}

    def _may(self, run: Run) -> bool:
        return bool(run.partial) or self.ahead.possible(self.own.config, *run.next())

    def _counting(self, run: Run) -> Sequence[Match]:
        if not self.own.found:
            return ()
        least = run.place(0) + self.code.enough
        return [m for m in self.own.matches if m.end >= least]
