"""What a pattern rail knows of one text that still streams."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from gateway.policy.automaton.scanner import Match, Scanner
from gateway.policy.normalise.track import Carried, Folded
from gateway.policy.verdict import ALLOW, Verdict


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
    busy: list[Scanner | Folded | Carried] = field(default_factory=list)  # the views in which something goes on
    held: int = 0

    def feed(self, delta: str) -> int:
        """The text goes on; the offset from which it must be held. It never decreases."""
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
