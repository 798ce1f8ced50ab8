"""One text of an answer as it arrives: what of it the rails have judged, how it is rewritten, what may be delivered."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field

from gateway.policy.docket import Line
from gateway.policy.pace import Pace
from gateway.policy.policy import Bench, Bound
from gateway.policy.rail import Scanner, Unit
from gateway.policy.verdict import ALLOW, Edit, Verdict, applied, disjoint
from gateway.wire.passage import Passage
from gateway.wire.sentences import may_end, sentences

_LOOK = 4096  # characters that are looked at for sentences, and judged, before others have their turn
_BIT = 256  # characters that followers are given at once: 10 ms at the very most
_FAR = 8192  # characters that followers have not let go of: thousands of matches in them may become certain at once
_KEPT = 512  # characters that may be remembered for nothing; forgetting copies what is left


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Rails that see a text alike. Those that act hold it back until they have judged it."""

    unit: Unit
    acts: bool
    bench: Bench


@dataclass(slots=True)
class Follower:
    """A rail following the text by a scanner; it has judged what stands before `done`."""

    bound: Bound
    scanner: Scanner | None
    done: int = 0
    line: Line | None = None  # where it is noted

    def step(self, delta: str, end: int, final: bool) -> Verdict:
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

    `done` says how far rails have judged that are asked; `followers` are those that need not be.
    """

    passage: Passage  # without its text
    followers: list[Follower]
    done: dict[Group, int]
    pending: str = ""
    base: int = 0  # offset of pending[0]
    read: int = 0  # followers have read up to here
    ready: int = 0  # sentences are complete up to here
    clear: int = 0  # may be delivered up to here
    final: bool = False
    stops: bool = False  # a sentence may have ended since they were looked for
    edits: set[Edit] = field(default_factory=set)
    waiting: deque[int] = field(default_factory=deque)  # where pieces begin that are not delivered yet
    parted: bool = field(init=False)  # whether anybody wants sentences

    def __post_init__(self) -> None:
        self.parted = any(group.unit is Unit.SENTENCE for group in self.done)

    @property
    def length(self) -> int:
        return self.base + len(self.pending)

    @property
    def judged(self) -> int:
        """Every rail that may act has judged what stands before this offset."""
        least = self.base + len(self.pending)
        for follower in self.followers:
            if follower.done < least and follower.bound.acts:
                least = follower.done
        for group, done in self.done.items():
            if done < least and group.acts:
                least = done
        return least

    @property
    def matched(self) -> int:
        """Rails that look for matches and may act have judged what stands before this offset."""
        least = self.length
        for follower in self.followers:
            if follower.done < least and follower.bound.acts:
                least = follower.done
        for group, done in self.done.items():
            if done < least and group.acts and group.unit is Unit.MATCH:
                least = done
        return least

    @property
    def _followed(self) -> int:
        return min([follower.done for follower in self.followers], default=self.length)

    def slice(self, start: int, end: int) -> str:
        return self.pending[start - self.base : end - self.base]

    def feed(self, delta: str) -> tuple[int, int]:
        """The text goes on; the span that `delta` takes. It waits for being delivered until `forget` lets it go."""
        start = self.base + len(self.pending)
        if self.parted and not self.stops:
            self.stops = may_end(self.pending, self.ready - self.base, delta)
        self.pending += delta
        self.waiting.append(start)
        return start, start + len(delta)

    # Judging

    @property
    def far(self) -> bool:
        """Whether followers have so much to read that others should have their turn in between."""
        length = self.base + len(self.pending)
        return length - self.read > _BIT or (length - self.clear > _FAR and self._farther)

    @property
    def _farther(self) -> bool:
        return self.length - self.clear > _FAR and self.length - self._followed > _FAR

    def followed(self, bench: Bench) -> Verdict:
        """Have the followers read what is new, which is not `far`."""
        return self._follow(bench, self.length)

    async def follow(self, bench: Bench) -> Verdict:
        """Have the followers read what is new, a long piece bit by bit."""
        if self._farther:
            return await asyncio.to_thread(self._follow, bench, self.length)
        if not self.far:
            return self._follow(bench, self.length)
        said, pace = ALLOW, Pace()
        while self.read < self.length:
            said |= self._follow(bench, min(self.read + _BIT, self.length))
            if pace.due():
                await pace.rest()
        return said

    def _follow(self, bench: Bench, end: int) -> Verdict:
        delta, self.read = self.slice(self.read, end), end
        final = self.final and end == self.length
        if not delta and not final:
            return ALLOW
        said = ALLOW
        for follower in self.followers:
            line = follower.line = follower.line or bench.line(follower.bound)
            verdict = bench.followed(follower.bound, line, follower.step, delta, end, final)
            if verdict is not ALLOW:
                self.edits |= verdict.edits
                said |= verdict
        return said

    def segments(self, group: Group) -> list[tuple[int, int]]:
        """Spans that the group has not judged yet and now can."""
        start = self.done[group]
        if group.unit is Unit.SENTENCE:
            return self._sentences(start, self.matched if group.acts else self.length)
        return [(start, self.length)] if self.final and self.length > start else []

    def _sentences(self, start: int, upto: int) -> list[tuple[int, int]]:
        """Whole sentences, as far as narrower rails have judged; of a long text the first ones."""
        if not self.final and not self.stops and self.ready <= start:
            return []
        found, end, size = list[tuple[int, int]](), start, _LOOK
        while not found and end < self.length:
            end = min(start + size, self.length)
            found = sentences(self.slice(start, end))
            if not self.final or end < self.length:
                found.pop()  # it may go on
            size *= 2
        self.stops = self.stops and end < self.length
        self.ready = max(self.ready, start + found[-1][1]) if found else self.ready
        return [(start + a, start + b) for a, b in found if start + b <= upto]

    # Rewriting

    def rewrite(self, start: int, end: int, text: str, edits: Collection[Edit]) -> None:
        """Make `edits` of `text`, which is what `text[start:end]` was to be delivered as so far."""
        if self.touched(start, end) or any(edit.start == edit.end for edit in edits):
            self._replace(start, end, applied(text, edits))
        else:
            self.edits.update(Edit(e.start + start, e.end + start, e.new) for e in edits)

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
        """Whether an edit changes `text[start:end]`."""
        return bool(self.edits) and any(edit.start < end and edit.end > start for edit in self.edits)

    def delivered(self, start: int, end: int) -> str:
        """`text[start:end]` as the client gets it: an edit's new text stands where the edit begins."""
        if not self.edits:
            return self.slice(start, end)
        out: list[str] = []
        at = start
        for left, right, new in disjoint(self.edits):
            if left >= end:
                break
            if left >= start:
                out += self.slice(at, left), new
            at = max(at, right)
        return "".join((*out, self.slice(at, end)))

    # Delivering

    def forget(self) -> None:
        """The piece that waited longest was delivered; drop what nobody needs any more."""
        self.waiting.popleft()
        if self.final or self.clear - self.base <= _KEPT:
            return
        unread = self.read if self.followers else self.clear
        keep = min(self.waiting[0] if self.waiting else self.clear, self.clear, unread, *self.done.values())
        if keep - self.base > _KEPT:
            self.pending = self.pending[keep - self.base :]
            self.base = keep
            self.edits = {edit for edit in self.edits if edit.end > keep}
