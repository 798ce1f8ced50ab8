"""What a pattern rail knows of one text that still streams."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from gateway.policy.automaton.dfa import Config
from gateway.policy.automaton.scanner import Match, Scanner
from gateway.policy.normalise.track import Carried, Folded
from gateway.policy.verdict import ALLOW, Verdict

WORDS = 20_000  # pieces of text that are known to be none of any rule's business
_LONGEST = 16  # characters of one
_SYMBOLS = "+/_-"  # with letters and digits, what a run may begin with: the characters before say whether one does
_NUMBER = re.compile("[0-9]")

Calm = dict[tuple[Config, str, str], Config]
"""Where a piece of text takes a scanner that follows nothing, and after it follows nothing again.

By where it stands, the two characters before as far as they matter, and the piece: words and points, no numbers. Most
of what a model says is that, and the same words come again and again; all texts of a rail share what is known of them.
"""


@dataclass(slots=True)
class Watch:
    """One text as it streams. Offsets count from its beginning.

    `feed` the pieces and `finish`; `cut` says up to where no match, present or possible, reaches across; `take` gives
    the verdict on what stands before such an offset and was not taken yet. Taken together the verdicts find what
    `inspect` finds in the whole text.
    """

    verdict: Callable[[Iterable[Match]], Verdict]
    raw: Scanner
    folded: Folded
    carried: tuple[Carried, ...]  # by code: the first two in ASCII, the others in characters that do not show
    calm: Calm = field(default_factory=dict)
    busy: list[Scanner | Folded | Carried] = field(default_factory=list)  # the views in which something goes on
    held: int = 0
    quiet: bool = False  # nothing goes on, and nothing that was found waits to be taken
    before: str | None = None  # the last two characters, where the decoders were not told

    def feed(self, delta: str) -> int:
        """The text goes on; the offset from which it must be held. It never decreases."""
        if not self.quiet or len(delta) > _LONGEST:
            return self._fed(delta)
        raw, before = self.raw, self.before
        if before is None:
            before = self.carried[0].decoder.before
        key = raw.config, (before if delta[0] in _SYMBOLS or delta[0].isalnum() else ""), delta
        target = self.calm.get(key)
        if target is None:
            held = self._fed(delta)
            if self.quiet and delta.isascii() and not _NUMBER.search(delta):
                if len(self.calm) >= WORDS:
                    self.calm.clear()
                self.calm[key] = raw.config
            return held
        raw.config = target
        raw.at = self.held = raw.at + len(delta)
        self.before = (before + delta)[-2:]
        return raw.at

    def _fed(self, delta: str) -> int:
        if self.before is not None:
            for carried in self.carried[:2]:
                carried.decoder.before = self.before
            self.before = None
        at = self.raw.at
        self.folded.feed(delta)
        plain = delta.isascii()
        for place, carried in enumerate(self.carried):
            if place < 2 or not plain or carried.decoder.run is not None:
                carried.decoder.feed(delta, at)
        self._settle()
        return self.held

    def finish(self) -> None:
        """The text ends: nothing is held any longer."""
        self.folded.finish()
        self.raw.finish()
        for carried in self.carried:
            carried.finish()
        self._settle()

    def _settle(self) -> None:
        views: list[Scanner | Folded | Carried] = [self.raw, self.folded, *self.carried]
        self.busy = [view for view in views if view.busy]
        self.held = self._cut(self.raw.at)
        self.quiet = not self.busy and all(carried.decoder.run is None for carried in self.carried)

    def cut(self, limit: int) -> int:
        """The last offset up to `limit` that no match reaches across."""
        return self.held if limit >= self.held else self._cut(limit)

    def _cut(self, limit: int) -> int:
        before = -1
        while limit != before:
            before = limit
            for view in self.busy:
                limit = view.cut(limit)
            if len(self.busy) < 2:
                break
        return limit

    def take(self, upto: int) -> Verdict:
        """The verdict on what `feed` or `cut` let go and was not taken yet; edits count from the text's beginning."""
        taken = [match for view in self.busy for match in view.take(upto)]
        return self.verdict(taken) if taken else ALLOW
