"""The window: the texts of one answer as they arrive, held back until every rail that must see them has.

One `Channel` for each text (choice and field). Rails see a text by their unit: as far as no match can still be going
on, sentence by sentence, or whole. Where the cuts fall depends on the text alone, never on how it was split, so a
streamed answer and an unstreamed one (fed whole, then finished) are judged alike.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, cast

from gateway.policy.policy import Bound, Docket, judged
from gateway.policy.rail import Subject, Unit
from gateway.policy.vault import Vault
from gateway.policy.verdict import ALLOW, Edit, Verdict, disjoint
from gateway.wire.passage import Passage
from gateway.wire.sentences import complete, sentences


class Scanner(Protocol):
    """Follows one text: `feed` the next piece, get the offset in the whole text from which it must be held."""

    def feed(self, delta: str) -> int: ...


class Scanning(Protocol):
    def scanner(self) -> Scanner: ...


@dataclass(frozen=True, slots=True)
class Segment:
    """What a group of rails is to judge next: `text[start:end]` of a channel, `lead` characters of it for context."""

    channel: Channel
    start: int
    end: int
    lead: int = 0

    def passage(self) -> Passage:
        return replace(self.channel.passage, text=self.channel.slice(self.start - self.lead, self.end))


@dataclass(slots=True)
class Channel:
    """One text. Offsets count from its beginning; what is no longer needed is forgotten."""

    passage: Passage
    choice: int
    scanners: list[Scanner]
    pending: str = ""
    base: int = 0  # offset of pending[0]
    done: dict[Unit, int] = field(default_factory=dict)  # judged up to here, by group
    cut: int = 0  # MATCH rails may judge up to here
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
        self.cut = min((scanner.feed(delta) for scanner in self.scanners), default=self.length)

    def segments(self, unit: Unit) -> list[Segment]:
        """What rails of `unit` have not judged yet and now can."""
        start = self.done[unit]
        match unit:
            case Unit.MATCH:
                end = self.length if self.final else self.cut
                return [Segment(self, start, end, min(start - self.base, 1))] if end > start else []
            case Unit.SENTENCE:
                return self._sentences(start)
            case Unit.ANSWER:
                return [Segment(self, start, self.length)] if self.final and self.length > start else []

    def _sentences(self, start: int) -> list[Segment]:
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
            at = max(at, min(right, end)) if right > start else at
        return "".join((*out, self.slice(at, end)))

    def touched(self, start: int, end: int) -> bool:
        return any(edit.start < end and (edit.end > start or edit.start >= start) for edit in self.edits)

    def forget(self, upto: int) -> None:
        """Drop text before `upto`, except the one character a word boundary looks back on."""
        keep = min(upto, *self.done.values(), self.clear) - 1 if self.done else min(upto, self.clear) - 1
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
    channels: dict[Hashable, Channel] = field(default_factory=dict)
    groups: dict[Unit, list[Bound]] = field(init=False)

    def __post_init__(self) -> None:
        found = {unit: [b for b in self.bounds if b.rail.unit is unit] for unit in Unit}
        self.groups = {unit: bounds for unit, bounds in found.items() if bounds}

    def feed(self, key: Hashable, choice: int, passage: Passage) -> tuple[Channel, int, int]:
        """Add `passage.text` to the text `key` names; returns its channel and the span it takes there."""
        channel = self.channels.get(key)
        if channel is None:
            channel = self.channels[key] = self._channel(choice, passage)
        start = channel.length
        channel.feed(passage.text)
        return channel, start, channel.length

    def _channel(self, choice: int, passage: Passage) -> Channel:
        scanning = [cast("Scanning", bound.rail) for bound in self.groups.get(Unit.MATCH, [])]
        done = dict.fromkeys(self.groups, 0)
        return Channel(replace(passage, text=""), choice, [rail.scanner() for rail in scanning], done=done)

    def finish(self, choices: Iterable[int] | None = None) -> None:
        """No more text comes for `choices`, or for any of them."""
        wanted = None if choices is None else set(choices)
        for channel in self.channels.values():
            if wanted is None or channel.choice in wanted:
                channel.final = True

    async def judge(self) -> Verdict:
        """Have the rails judge what they now can. On a block nothing more becomes clear."""
        verdict = ALLOW
        if self.groups:
            work = [(u, [s for c in self.channels.values() for s in c.segments(u)]) for u in self.groups]
            verdict = await self._judge([(unit, segments) for unit, segments in work if segments])
        for channel in self.channels.values():
            self._clear(channel)
        return verdict

    async def _judge(self, work: list[tuple[Unit, list[Segment]]]) -> Verdict:
        if len(work) == 1:
            return await self._group(*work[0])
        verdict = ALLOW
        for one in await asyncio.gather(*(self._group(unit, segments) for unit, segments in work)):
            verdict |= one
        return verdict

    async def _group(self, unit: Unit, segments: list[Segment]) -> Verdict:
        subject = Subject([s.passage() for s in segments], self.question, self.context, self.vault)
        joined = ALLOW
        for segment, verdict in zip(
            segments, await judged(self.groups[unit], "output", subject, self.docket), strict=True
        ):
            joined |= verdict
            shift = segment.start - segment.lead
            edits = (Edit(e.start + shift, e.end + shift, e.new) for e in verdict.edits if e.end > segment.lead)
            segment.channel.edits.update(edits)
            segment.channel.done[unit] = segment.end
        return joined

    def _clear(self, channel: Channel) -> None:
        """Move what may be delivered forward; placeholders of the vault are held until whole, then given back."""
        clear = min(channel.done.values(), default=channel.length)
        if not self.vault.empty and clear > channel.clear:
            text = channel.slice(channel.clear, clear)
            end = len(text) if channel.final and clear == channel.length else self.vault.held(text)
            channel.edits.update(
                Edit(e.start + channel.clear, e.end + channel.clear, e.new) for e in self.vault.edits(text[:end])
            )
            clear = channel.clear + end
        channel.clear = max(channel.clear, clear)
