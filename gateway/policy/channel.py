"""One text of an answer as it arrives: what of it the rails have judged, how it is rewritten, what may be delivered."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial

from gateway.policy.policy import Bench, Bound
from gateway.policy.rail import Scanner, Unit
from gateway.policy.verdict import ALLOW, Edit, Verdict, disjoint
from gateway.wire.passage import Passage
from gateway.wire.sentences import complete, sentences

_KEPT = 512  # characters that may be remembered for nothing; forgetting copies what is left

# Only these, or what follows them, can end a sentence. Looked for before the sentences themselves are, so that a
# megabyte without white space is not searched again for every token it arrives in.
_STOP = re.compile(r"[\s。！？｡]")
_OPEN = re.compile(r"[\s。！？｡][。！？｡」』）\"'”’»)\]}*_]*\Z")


@dataclass(slots=True)
class Follower:
    """A rail following the text by a scanner; it has judged what stands before `done`."""

    bound: Bound
    scanner: Scanner | None
    done: int = 0

    def step(self, delta: str, end: int, *, final: bool) -> Verdict:
        """The verdict on what `delta`, which takes the text to `end`, made certain. A scanner that raises is lost."""
        scanner, self.scanner, self.done = self.scanner, None, end
        if scanner is None:
            return ALLOW
        cut = scanner.feed(delta) if delta else 0
        if final:
            scanner.finish()
            return scanner.take(end)
        verdict = scanner.take(cut)
        self.scanner, self.done = scanner, cut
        return verdict


@dataclass(slots=True, eq=False)
class Channel:
    """Offsets count from the text's beginning; what is no longer needed is forgotten.

    `done` says by unit how far rails have judged that are asked; `followers` are those that need not be.
    """

    passage: Passage  # without its text
    followers: list[Follower]
    done: dict[Unit, int]
    pending: str = ""
    base: int = 0  # offset of pending[0]
    read: int = 0  # followers have read up to here
    ready: int = 0  # sentences are complete up to here
    clear: int = 0  # may be delivered up to here
    final: bool = False
    stops: bool = False  # a sentence may have ended since they were looked for
    edits: set[Edit] = field(default_factory=set)
    waiting: deque[int] = field(default_factory=deque)  # where pieces begin that are not delivered yet

    @property
    def length(self) -> int:
        return self.base + len(self.pending)

    @property
    def judged(self) -> int:
        """Every rail has judged what stands before this offset."""
        return min((self.matched, *self.done.values()))

    @property
    def matched(self) -> int:
        """Rails that look for matches have judged what stands before this offset."""
        return min((f.done for f in self.followers), default=self.done.get(Unit.MATCH, self.length))

    def slice(self, start: int, end: int) -> str:
        return self.pending[start - self.base : end - self.base]

    def feed(self, delta: str) -> tuple[int, int]:
        """The text goes on; the span that `delta` takes. It waits for being delivered until `forget` lets it go."""
        start = self.length
        if Unit.SENTENCE in self.done and not self.stops:
            self.stops = _OPEN.search(self.pending[-32:]) is not None or _STOP.search(delta) is not None
        self.pending += delta
        self.waiting.append(start)
        return start, self.length

    # Judging

    def follow(self, bench: Bench) -> Verdict:
        """Have the followers read what is new."""
        delta, self.read = self.slice(self.read, self.length), self.length
        said = ALLOW
        for follower in self.followers:
            step = partial(follower.step, delta, self.length, final=self.final)
            verdict = bench.followed(follower.bound, step)
            if verdict is not ALLOW:
                self.edits |= verdict.edits
                said |= verdict
        return said

    def segments(self, unit: Unit) -> list[tuple[int, int]]:
        """Spans that rails of `unit` have not judged yet and now can."""
        start = self.done[unit]
        if unit is Unit.SENTENCE:
            return self._sentences(start)
        return [(start, self.length)] if self.final and self.length > start else []

    def _sentences(self, start: int) -> list[tuple[int, int]]:
        """Whole sentences, as far as narrower rails have judged."""
        if self.final:
            self.ready = self.length
        elif self.stops:
            self.ready = start + complete(self.slice(start, self.length))
            self.stops = False
        end = self.matched
        return [(start + a, start + b) for a, b in sentences(self.slice(start, self.ready)) if start + b <= end]

    # Rewriting

    def rewrite(self, start: int, end: int, text: str, edits: Iterable[Edit]) -> None:
        """Make `edits` of `text`, which is what `text[start:end]` was delivered as so far."""
        if not self.touched(start, end):
            self.edits.update(Edit(e.start + start, e.end + start, e.new) for e in edits)
            return
        out: list[str] = []
        at = 0
        for left, right, new in disjoint(edits):
            out += text[at:left], new
            at = right
        self._replace(start, end, "".join((*out, text[at:])))

    def _replace(self, start: int, end: int, new: str) -> None:
        """One edit instead of all that touch the span; those that reach beyond it keep what is outside."""
        kept: set[Edit] = set()
        for edit in self.edits:
            if edit.start < start:
                kept.add(Edit(edit.start, min(edit.end, start), edit.new))
            elif edit.start >= end:
                kept.add(edit)
            if edit.start < end < edit.end:
                kept.add(Edit(end, edit.end, ""))
        self.edits = kept | {Edit(start, end, new)}

    def touched(self, start: int, end: int) -> bool:
        """Whether an edit changes `text[start:end]`. One that only inserts belongs to what follows it, if anything."""
        last = end if self.final and end == self.length else end - 1
        return any((e.start < end and e.end > start) or start <= e.start == e.end <= last for e in self.edits)

    def delivered(self, start: int, end: int) -> str:
        """`text[start:end]` as the client gets it: an edit's new text stands where the edit begins."""
        if not self.edits:
            return self.slice(start, end)
        last = end if self.final and end == self.length else end - 1
        out: list[str] = []
        at = start
        for left, right, new in disjoint(self.edits):
            if left > last:
                break
            if left >= start:
                out += self.slice(at, left), new
            at = max(at, min(right, end))
        return "".join((*out, self.slice(at, end)))

    # Delivering

    def forget(self) -> None:
        """The piece that waited longest was delivered; drop what nobody needs any more."""
        self.waiting.popleft()
        if self.final:
            return
        keep = min(self.waiting[0] if self.waiting else self.clear, self.judged, self.read)
        if keep - self.base > _KEPT:
            self.pending = self.pending[keep - self.base :]
            self.base = keep
            self.edits = {edit for edit in self.edits if edit.end > keep or edit.start >= keep}
