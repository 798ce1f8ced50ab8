"""The window: the texts of one answer as they arrive, held back until every rail that must see them has.

Rails see a text by their unit: as far as no match can still be going on, sentence by sentence, or whole; each sees what
rails of a narrower unit left. Where the cuts fall depends on the text alone, never on how it was split, so a streamed
answer and an unstreamed one are judged alike.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, cast

import orjson

from gateway.policy.channel import Channel, Follower
from gateway.policy.policy import Bench, Bound
from gateway.policy.rail import Scanning, Subject, Unit
from gateway.policy.vault import Vault
from gateway.policy.verdict import ALLOW, Action, Edit, Verdict, applied
from gateway.wire.passage import Passage, Path

_KNOWN = 64  # texts that stand for themselves and may come again in every chunk


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
    known: dict[tuple[Path, str], Span] = field(default_factory=dict)
    fresh: dict[Channel, None] = field(default_factory=dict)
    finished: bool = False
    benches: dict[Unit, Bench] = field(init=False)
    watching: bool = field(init=False)

    def __post_init__(self) -> None:
        found = {unit: [b for b in self.bench.bounds if b.rail.unit is unit] for unit in Unit}
        self.benches = {unit: replace(self.bench, bounds=bounds) for unit, bounds in found.items() if bounds}
        self.watching = bool(self.benches) and not any(bound.enforced for bound in self.bench.bounds)

    @property
    def idle(self) -> bool:
        """Whether nothing will ever be judged or restored, so that nothing needs to be fed."""
        return not self.benches and self.vault.empty

    def feed(self, key: Hashable, passage: Passage) -> Span:
        """Add `passage.text` to the text that `key` names; without a key it is a text of its own."""
        if key is None:
            return self._alone(passage)
        channel = self.channels.get(key)
        if channel is None:
            channel = self.channels[key] = self._channel(passage)
        self.fresh[channel] = None
        return Span(channel, *channel.feed(passage.text))

    def _alone(self, passage: Passage) -> Span:
        known = self.known.get((passage.path, passage.text))
        if known is not None:
            known.channel.waiting.append(0)
            return known
        channel = self._channel(passage, whole=True)
        span = Span(channel, *channel.feed(passage.text))
        channel.final = True
        self.fresh[channel] = None
        if len(self.known) >= _KNOWN:
            self.known.clear()
        self.known[passage.path, passage.text] = span
        return span

    def _channel(self, passage: Passage, *, whole: bool = False) -> Channel:
        done = dict.fromkeys(self.benches, 0)
        followers: list[Follower] = []
        if Unit.MATCH in done and not whole and not self.whole:
            del done[Unit.MATCH]
            followers = [_follower(bound) for bound in self.benches[Unit.MATCH].bounds]
        return Channel(replace(passage, text=""), followers, done)

    def finish(self) -> None:
        """No more text comes."""
        self.finished = True
        for channel in self.channels.values():
            channel.final = True
            self.fresh[channel] = None

    async def judge(self) -> Verdict:
        """Have the rails judge what they now can. On a block nothing more becomes clear.

        A policy that only watches holds nothing up: it judges when the answer is there.
        """
        verdict = ALLOW
        if self.finished or not self.watching:
            verdict = await self._judged()
        if verdict.action is not Action.BLOCK:
            for channel in self.fresh:
                self._clear(channel)
            if self.finished or not self.watching:
                self.fresh.clear()
        return verdict

    async def _judged(self) -> Verdict:
        verdict = ALLOW
        if Unit.MATCH in self.benches:
            for channel in self.fresh:
                verdict |= channel.follow(self.benches[Unit.MATCH])
        for unit, bench in self.benches.items():
            if verdict.action is Action.BLOCK:
                break
            verdict |= await self._asked(unit, bench)
        return verdict

    async def _asked(self, unit: Unit, bench: Bench) -> Verdict:
        """The rails of `unit`, which see what narrower ones left."""
        spans = [Span(c, *span) for c in self.fresh if unit in c.done for span in c.segments(unit)]
        if not spans:
            return ALLOW
        texts = [span.delivered() for span in spans]
        passages = [replace(span.channel.passage, text=text) for span, text in zip(spans, texts, strict=True)]
        verdicts = await bench.judged(Subject(passages, self.question, self.context, self.vault))
        said = ALLOW
        for span, text, verdict in zip(spans, texts, verdicts, strict=True):
            said |= verdict
            span.channel.rewrite(span.start, span.end, text, verdict.edits)
            span.channel.done[unit] = span.end
        return said

    def _clear(self, channel: Channel) -> None:
        """Move what may be delivered forward; placeholders of the vault are held until whole, then given back."""
        clear = channel.length if self.watching else channel.judged
        if clear > channel.clear:
            channel.clear = clear if self.vault.empty else self._restored(channel, clear)

    def _restored(self, channel: Channel, clear: int) -> int:
        """Give placeholders between what is clear and `clear` back; the offset up to which all of them are whole."""
        start = channel.clear
        text = channel.slice(start, clear)
        end = len(text) if channel.final and clear == channel.length else self.vault.held(text)
        found = [Edit(e.start + start, e.end + start, e.new) for e in self._given(channel, text[:end])]
        found = [e for e in found if not channel.touched(e.start, e.end)]
        for edit in [e for e in channel.edits if start <= e.start < start + end]:
            channel.edits.remove(edit)
            channel.edits.add(replace(edit, new=applied(edit.new, self._given(channel, edit.new))))
        channel.edits.update(found)
        return start + end

    def _given(self, channel: Channel, text: str) -> list[Edit]:
        """What gives the placeholders in `text` back; in a tool call's arguments as JSON has it, for they are JSON."""
        edits = self.vault.edits(text)
        if channel.passage.channel != "arguments":
            return edits
        return [replace(edit, new=orjson.dumps(edit.new).decode()[1:-1]) for edit in edits]


def _follower(bound: Bound) -> Follower:
    return Follower(bound, cast("Scanning", bound.rail).scanner())
