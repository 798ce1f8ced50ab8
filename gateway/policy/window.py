"""The window: the texts of one answer as they arrive, held back until every rail that may act on them has judged.

One `Channel` for each text (choice and field). Rails see a text by their unit: as far as no match can still be going
on, sentence by sentence, or whole. Where the cuts fall depends on the text alone, never on how it was split, so a
streamed answer and an unstreamed one (fed whole, then finished) are judged alike. Rails that can only flag, or only
watch, hold nothing back: they judge what was delivered.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, cast

from gateway.policy.policy import Bound, Docket, judged, watched
from gateway.policy.rail import Subject, Unit
from gateway.policy.vault import Vault
from gateway.policy.verdict import ALLOW, Edit, Verdict, disjoint
from gateway.wire.passage import Passage
from gateway.wire.sentences import complete, sentences


class Watch(Protocol):
    """Follows one text for a rail whose unit is a match. Offsets count from the text's beginning."""

    def feed(self, delta: str) -> int: ...
    def cut(self, limit: int) -> int: ...
    def finish(self) -> None: ...
    def take(self, upto: int) -> Verdict: ...


class Scanning(Protocol):
    """What a rail whose unit is a match has besides: a `Watch` for every text."""

    def scanner(self) -> Watch: ...


@dataclass(frozen=True, slots=True)
class Segment:
    """What a group of rails is to judge next: `text[start:end]` of a channel."""

    channel: Channel
    start: int
    end: int

    def passage(self) -> Passage:
        return replace(self.channel.passage, text=self.channel.slice(self.start, self.end))


@dataclass(frozen=True, slots=True)
class Group:
    """Rails that see a text alike. Those that act hold it back until they have judged it."""

    unit: Unit
    acts: bool
    bounds: tuple[Bound, ...]


@dataclass(slots=True)
class Channel:
    """One text. Offsets count from its beginning; what is no longer needed is forgotten."""

    passage: Passage
    choice: int
    watches: list[tuple[Bound, Watch]]
    done: list[int]  # judged up to here, by group
    pending: str = ""
    base: int = 0  # offset of pending[0]
    free: int = 0  # no match, present or possible, reaches across this offset
    clear: int = 0  # may be delivered up to here
    final: bool = False
    edits: set[Edit] = field(default_factory=set)

    @property
    def length(self) -> int:
        return self.base + len(self.pending)

    def slice(self, start: int, end: int) -> str:
        return self.pending[start - self.base : end - self.base]

    def feed(self, delta: str) -> None:
        self.pending += delta
        for _, watch in self.watches:
            watch.feed(delta)
        self._cut(self.length)

    def finish(self) -> None:
        if not self.final:
            self.final = True
            for _, watch in self.watches:
                watch.finish()
            self._cut(self.length)

    def _cut(self, limit: int) -> None:
        """The last offset up to `limit` that suits every watch that may act; each may move it for the others."""
        before = -1
        while limit != before:
            before = limit
            for bound, watch in self.watches:
                limit = watch.cut(limit) if bound.acts else limit
        self.free = limit

    def segments(self, place: int, unit: Unit) -> list[Segment]:
        """What the group at `place` has not judged yet and now can."""
        start = self.done[place]
        if unit is Unit.ANSWER:
            return [Segment(self, start, self.length)] if self.final and self.length > start else []
        text = self.slice(start, self.length)
        end = len(text) if self.final else complete(text)
        return [Segment(self, start + a, start + b) for a, b in sentences(text[:end])]

    def delivered(self, start: int, end: int) -> str:
        """`text[start:end]` as the client gets it: with the edits that touch it made."""
        out: list[str] = []
        at = start
        for left, right, new in disjoint(self.edits):
            if left >= end:
                break
            if left >= start:
                out += self.slice(at, left), new
            if right > start:
                at = max(at, min(right, end))
        return "".join((*out, self.slice(at, end)))

    def touched(self, start: int, end: int) -> bool:
        return any(edit.start < end and (edit.end > start or edit.start >= start) for edit in self.edits)

    def forget(self, upto: int) -> None:
        """Drop text before `upto` that no rail will ask for again."""
        keep = min([upto, self.clear, *self.done])
        if keep > self.base:
            self.pending = self.pending[keep - self.base :]
            self.base = keep
            self.edits = {edit for edit in self.edits if edit.end > keep}


@dataclass(slots=True)
class Window:
    """All texts of one answer. `feed`, then `judge`; what a channel has `clear` may be delivered."""

    bounds: Sequence[Bound]
    docket: Docket
    vault: Vault
    question: str = ""
    context: Sequence[str] = ()
    clock: Callable[[], float] = time.monotonic
    channels: dict[Hashable, Channel] = field(default_factory=dict)
    groups: tuple[Group, ...] = field(init=False)
    matching: tuple[Bound, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.matching = tuple(b for b in self.bounds if b.rail.unit is Unit.MATCH)
        found = [
            Group(unit, acts, tuple(b for b in self.bounds if b.rail.unit is unit and b.acts is acts))
            for unit in (Unit.SENTENCE, Unit.ANSWER)
            for acts in (True, False)
        ]
        self.groups = tuple(group for group in found if group.bounds)

    def feed(self, key: Hashable, choice: int, passage: Passage) -> tuple[Channel, int, int]:
        """Add `passage.text` to the text `key` names; returns its channel and the span it takes there."""
        channel = self.channels.get(key)
        if channel is None:
            channel = self.channels[key] = self._channel(choice, passage)
        start = channel.length
        channel.feed(passage.text)
        return channel, start, channel.length

    def _channel(self, choice: int, passage: Passage) -> Channel:
        watches = [(bound, cast("Scanning", bound.rail).scanner()) for bound in self.matching]
        return Channel(replace(passage, text=""), choice, watches, [0] * len(self.groups))

    def finish(self, choices: Iterable[int] | None = None) -> None:
        """No more text comes for `choices`, or for any of them."""
        wanted = None if choices is None else set(choices)
        for channel in self.channels.values():
            if wanted is None or channel.choice in wanted:
                channel.finish()

    async def judge(self) -> Verdict:
        """Have the rails that may act judge what they now can."""
        verdict = self._matches() | await self._segments(acts=True)
        for channel in self.channels.values():
            self._clear(channel)
        return verdict

    async def watch(self) -> Verdict:
        """Have the rails that only flag or watch judge what they now can. It holds nothing back and blocks nothing."""
        return await self._segments(acts=False)

    # Patterns: judged here and now

    def _matches(self) -> Verdict:
        verdict = ALLOW
        for place, bound in enumerate(self.matching):
            began = self.clock()
            said = ALLOW
            for channel in self.channels.values():
                said |= self._taken(channel, place)
            self.docket.note("output", bound, said, self.clock() - began)
            verdict |= said
        return verdict

    @staticmethod
    def _taken(channel: Channel, place: int) -> Verdict:
        bound, watch = channel.watches[place]
        said = watch.take(channel.free if bound.acts else watch.cut(channel.length))
        if not bound.enforced:
            return watched(said)
        channel.edits.update(said.edits)
        return said

    # Sentences and answers: judged by workers

    async def _segments(self, *, acts: bool) -> Verdict:
        work = [
            (place, group, segments)
            for place, group in enumerate(self.groups)
            if group.acts is acts
            and (segments := [s for c in self.channels.values() for s in c.segments(place, group.unit)])
        ]
        if len(work) < 2:
            return await self._group(*work[0]) if work else ALLOW
        verdict = ALLOW
        for one in await asyncio.gather(*(self._group(*each) for each in work)):
            verdict |= one
        return verdict

    async def _group(self, place: int, group: Group, segments: list[Segment]) -> Verdict:
        subject = Subject([s.passage() for s in segments], self.question, self.context, self.vault)
        verdicts = await judged(group.bounds, "output", subject, self.docket, self.clock)
        joined = ALLOW
        for segment, verdict in zip(segments, verdicts, strict=True):
            joined |= verdict
            edits = (Edit(e.start + segment.start, e.end + segment.start, e.new) for e in verdict.edits)
            segment.channel.edits.update(edits)
            segment.channel.done[place] = segment.end
        return joined

    def _clear(self, channel: Channel) -> None:
        """Move what may be delivered forward; placeholders of the vault are held until whole, then given back."""
        held = (done for done, group in zip(channel.done, self.groups, strict=True) if group.acts)
        clear = min([channel.free, *held])
        if not self.vault.empty and clear > channel.clear:
            text = channel.slice(channel.clear, clear)
            end = len(text) if channel.final and clear == channel.length else self.vault.held(text)
            channel.edits.update(
                Edit(e.start + channel.clear, e.end + channel.clear, e.new) for e in self.vault.edits(text[:end])
            )
            clear = channel.clear + end
        channel.clear = max(channel.clear, clear)
