"""The window: the texts of one answer as they arrive, held back until every rail that may act on them has judged.

Rails see a text by their unit: as far as no match can still be going on, sentence by sentence, or whole; each sees what
rails of a narrower unit left. Where the cuts fall depends on the text alone, never on how it was split, so a streamed
answer and an unstreamed one are judged alike. Rails that can only flag, or only watch, hold nothing back: they judge
what the model said once it has said it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol, cast

import orjson

from gateway.policy.channel import Channel, Follower, Group
from gateway.policy.pace import Pace
from gateway.policy.policy import Bench, Bound
from gateway.policy.rail import Scanning, Subject, Unit
from gateway.policy.vault import Vault
from gateway.policy.verdict import ALLOW, Action, Edit, Verdict, applied
from gateway.wire.passage import Passage, Path

_AT_ONCE = 256  # pieces that rails are asked about at once: more are a model's way of holding up everybody else
_KNOWN = 64  # texts that stand for themselves and may come again in every chunk


class Piece(Protocol):
    """Some text of an answer: where it stands, what kind it is (`Passage.channel`), and itself."""

    @property
    def path(self) -> Path: ...
    @property
    def text(self) -> str: ...
    @property
    def channel(self) -> str: ...


class Span(NamedTuple):
    """`text[start:end]` of a channel: one piece of an answer."""

    channel: Channel
    start: int
    end: int

    @property
    def clear(self) -> bool:
        return self.channel.clear >= self.end

    @property
    def touched(self) -> bool:
        return self.channel.touched(self.start, self.end)

    def delivered(self) -> str:
        return self.channel.delivered(self.start, self.end)


@dataclass(slots=True)
class Window:
    """All texts of one answer. `feed`, then `judge`; what is `clear` after that may be delivered.

    `whole` answers are fed all at once, then `finish`ed: rails that could follow them are asked instead, which is
    faster and comes to the same.
    """

    bench: Bench
    vault: Vault
    question: str = ""
    context: Sequence[str] = ()
    whole: bool = False
    channels: dict[Hashable, Channel] = field(default_factory=dict)
    alone: list[Channel] = field(default_factory=list)  # kept for those who watch
    known: dict[tuple[Path, str], Span] = field(default_factory=dict)
    fresh: dict[Channel, None] = field(default_factory=dict)
    heard: Verdict = ALLOW  # of rails that followed what others still have to be asked about
    matching: Sequence[Bound] = field(init=False)
    groups: Sequence[Group] = field(init=False)
    watched: bool = field(init=False)

    def __post_init__(self) -> None:
        found = [
            Group(unit, acts, replace(self.bench, bounds=bounds))
            for acts in (True, False)
            for unit in Unit
            if (bounds := [b for b in self.bench.bounds if b.rail.unit is unit and b.acts is acts])
        ]
        self.groups = found
        self.matching = [b for b in self.bench.bounds if b.rail.unit is Unit.MATCH]
        self.watched = any(not g.acts and (self.whole or g.unit is not Unit.MATCH) for g in found)

    @property
    def idle(self) -> bool:
        """Whether nothing will ever be judged or restored, so that nothing needs to be fed."""
        return not self.groups and self.vault.empty

    def feed(self, key: Hashable, piece: Piece) -> Span:
        """Add `piece.text` to the text that `key` names; without a key it is a text of its own."""
        if key is None:
            return self._alone(piece)
        channel = self.channels.get(key)
        if channel is None:
            channel = self.channels[key] = self._channel(piece, whole=self.whole)
        self.fresh[channel] = None
        return Span(channel, *channel.feed(piece.text))

    def go_on(self, key: Hashable, text: str) -> Span:
        """`feed`, for a text that has begun."""
        channel = self.channels[key]
        self.fresh[channel] = None
        return Span(channel, *channel.feed(text))

    def _alone(self, piece: Piece) -> Span:
        known = self.known.get((piece.path, piece.text))
        if known is not None:
            known.channel.waiting.append(0)
            return known
        channel = self._channel(piece, whole=True)
        span = Span(channel, *channel.feed(piece.text))
        channel.final = True
        self.fresh[channel] = None
        if self.watched:
            self.alone.append(channel)
        if len(self.known) >= _KNOWN:
            self.known.clear()
        self.known[piece.path, piece.text] = span
        return span

    def _channel(self, piece: Piece, *, whole: bool) -> Channel:
        followers = [] if whole else [_follower(bound) for bound in self.matching]
        done = {group: 0 for group in self.groups if whole or group.unit is not Unit.MATCH}
        return Channel(Passage(piece.path, "assistant", "output", "", piece.channel), followers, done)

    def finish(self) -> None:
        """No more text comes."""
        for channel in self.channels.values():
            channel.final = True
            self.fresh[channel] = None

    async def judge(self) -> Verdict:
        """Have the rails that may act judge what they now can. On a block nothing more becomes clear."""
        verdict = await self._followed()
        for group in self.groups:
            if group.acts and verdict.action is not Action.BLOCK:
                verdict |= await self._asked(group, self.fresh)
        if verdict.action is not Action.BLOCK:
            self._passed()
        return verdict

    def judged(self) -> Verdict | None:
        """`judge`, where nobody needs to be waited for; else None, and `judge` has what is left to do."""
        verdict = ALLOW
        for channel in self.fresh:
            if not channel.followers:
                continue
            if channel.far:
                self.heard |= verdict
                return None
            verdict |= channel.followed(self.bench)
        if verdict.action is Action.BLOCK:
            return verdict
        for channel in self.fresh:
            for group in channel.done:
                if group.acts and channel.segments(group):
                    self.heard |= verdict
                    return None
        self._passed()
        return verdict

    async def watch(self) -> None:
        """Have the rails that may not act judge a finished answer, as the model said it."""
        channels = [*self.channels.values(), *self.alone]
        groups = [group for group in self.groups if not group.acts]
        await asyncio.gather(*(self._asked(group, channels) for group in groups))

    async def settle(self) -> Verdict:
        """`judge` and `watch` side by side, for an answer that is here. A block waits for nobody."""
        watching = asyncio.ensure_future(self.watch()) if self.watched else None
        try:
            verdict = await self.judge()
            if watching and verdict.action is not Action.BLOCK:
                await watching
        finally:
            if watching:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)
        return verdict

    async def _followed(self) -> Verdict:
        verdict, self.heard = self.heard, ALLOW
        if self.matching:
            for channel in self.fresh:
                verdict |= await channel.follow(self.bench)
        return verdict

    async def _asked(self, group: Group, channels: Iterable[Channel]) -> Verdict:
        """The rails of `group`. Those that act see what narrower ones left."""
        channels, said, pace = [channel for channel in channels if group in channel.done], ALLOW, Pace()
        while said.action is not Action.BLOCK:
            spans = [Span(channel, *span) for channel in channels for span in channel.segments(group)]
            if not spans:
                break
            # Rails that want whole answers may look at several texts together, a call's name and its arguments.
            size = len(spans) if group.unit is Unit.ANSWER else _AT_ONCE
            for at in range(0, len(spans), size):
                said |= await self._asked_of(group, spans[at : at + size])
                if pace.due():
                    await pace.rest()
        return said

    async def _asked_of(self, group: Group, spans: Sequence[Span]) -> Verdict:
        texts = [span.delivered() if group.acts else span.channel.slice(span.start, span.end) for span in spans]
        passages = [replace(span.channel.passage, text=text) for span, text in zip(spans, texts, strict=True)]
        verdicts = await group.bench.judged(Subject(passages, self.question, self.context, self.vault))
        said = ALLOW
        for span, text, verdict in zip(spans, texts, verdicts, strict=True):
            said |= verdict
            if verdict.edits:
                span.channel.rewrite(span.start, span.end, text, verdict.edits)
            span.channel.done[group] = span.end
        return said

    def _passed(self) -> None:
        """Move what may be delivered forward; placeholders of the vault are held until whole, then given back."""
        for channel in self.fresh:
            clear = channel.judged
            if clear > channel.clear:
                channel.clear = clear if self.vault.empty else self._restored(channel, clear)
        self.fresh.clear()

    def _restored(self, channel: Channel, clear: int) -> int:
        """Give placeholders between what is clear and `clear` back; the offset up to which all of them are whole."""
        start = channel.clear
        text = channel.slice(start, clear)
        end = len(text) if channel.final and clear == channel.length else self.vault.held(text)
        found = [Edit(e.start + start, e.end + start, e.new) for e in self._given(channel, text[:end])]
        found = [e for e in found if not channel.touched(e.start, e.end)]
        for edit in [e for e in channel.edits if start <= e.start < start + end]:
            channel.edits.remove(edit)
            channel.edits.add(edit._replace(new=applied(edit.new, self._given(channel, edit.new))))
        channel.edits.update(found)
        return start + end

    def _given(self, channel: Channel, text: str) -> list[Edit]:
        """What gives the placeholders in `text` back; in a tool call's arguments as JSON has it, for they are JSON."""
        edits = self.vault.edits(text)
        if channel.passage.channel != "arguments":
            return edits
        return [edit._replace(new=orjson.dumps(edit.new).decode()[1:-1]) for edit in edits]


def _follower(bound: Bound) -> Follower:
    return Follower(bound, cast("Scanning", bound.rail).scanner())
