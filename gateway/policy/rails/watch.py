"""What a pattern rail knows of one text that still streams."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

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
    spelt: list[Carried]  # in ASCII
    hidden: list[Carried]  # in characters that do not show

    def feed(self, delta: str) -> int:
        """The text goes on; the offset from which it must be held. It never decreases."""
        at = self.raw.at
        self.folded.feed(delta)
        for carried in self.spelt:
            carried.decoder.feed(delta, at)
        for carried in self.hidden:
            if carried.decoder.run is not None or not delta.isascii():
                carried.decoder.feed(delta, at)
        return self.cut(self.raw.at)

    def cut(self, limit: int) -> int:
        before = -1
        while limit != before:
            before = limit
            limit = self.folded.cut(self.raw.cut(limit))
            for carried in self.spelt:
                limit = carried.cut(limit)
            for carried in self.hidden:
                limit = carried.cut(limit)
        return limit

    def finish(self) -> None:
        """The text ends: nothing is held any longer."""
        self.folded.finish()
        self.raw.finish()
        for carried in (*self.spelt, *self.hidden):
            carried.finish()

    def take(self, upto: int) -> Verdict:
        """The verdict on what `feed` or `cut` let go and was not taken yet; edits count from the text's beginning."""
        taken = self.raw.take(upto) + self.folded.take(upto)
        for carried in (*self.spelt, *self.hidden):
            taken += carried.take(upto)
        return self.verdict(taken) if taken else ALLOW
