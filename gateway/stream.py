"""The streamed half of the path: an upstream's bytes in, the client's bytes out, judged in between.

One async generator, `relayed`, owns the upstream's chunks; decoding, judging, tallying and encoding are plain objects
it asks in turn. An event leaves when every text in it is clear, in the order it came; one that nobody touched leaves
as the bytes it came as.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import orjson

from gateway.errors import UpstreamBroken
from gateway.exchange import Exchange
from gateway.policy.policy import enforce
from gateway.policy.window import Channel, Window
from gateway.wire import body as json_body
from gateway.wire import chat, sse
from gateway.wire.passage import Passage, Path
from gateway.wire.usage import Counts

_FIRST: chat.Key = (0, ("content",))


@dataclass(frozen=True, slots=True)
class Span:
    """Where one text of an event stands: in its chunk, and in its channel."""

    path: Path
    channel: Channel
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Held:
    """An event waiting for its texts to become clear."""

    event: sse.Event
    chunk: dict[str, Any]
    spans: tuple[Span, ...]

    @property
    def clear(self) -> bool:
        return all(span.channel.clear >= span.end for span in self.spans)

    def encoded(self) -> bytes:
        """The event's own bytes, or the chunk anew where a rewrite touched it."""
        changed = [s for s in self.spans if s.channel.touched(s.start, s.end)]
        if not changed:
            return self.event.raw
        texts = [(s.path, s.channel.delivered(s.start, s.end)) for s in changed]
        chunk = chat.without_logprobs(json_body.rewritten(self.chunk, texts))
        return sse.encoded(orjson.dumps(chunk), self.event.name)


@dataclass(slots=True)
class Tally:
    """What a stream adds up to: tokens as the upstream counts them, when its texts came, how it ended."""

    clock: Callable[[], float]
    counts: Counts | None = None
    model: str = ""
    finish: str = ""
    done: bool = False
    chunks: int = 0
    characters: int = 0
    last: float | None = None
    first: float | None = None
    gaps: list[float] = field(default_factory=list)
    newest: dict[str, Any] | None = None

    def note(self, chunk: dict[str, Any], texts: list[chat.Delta]) -> None:
        self.newest = chunk
        self.counts = chat.usage(chunk) or self.counts
        self.finish = chat.finish_reason(chunk) or self.finish
        if isinstance(chunk.get("model"), str):
            self.model = chunk["model"]
        if texts:
            self._note_time()
            self.chunks += 1
            self.characters += sum(len(t.text) for t in texts)

    def _note_time(self) -> None:
        now = self.clock()
        if self.last is not None:
            self.gaps.append(now - self.last)
        self.first = self.first if self.first is not None else now
        self.last = now


@dataclass(slots=True)
class Relay:
    """One stream on its way through. `hide_usage` drops the usage chunk that only the gateway asked for."""

    window: Window
    tally: Tally
    exchange: Exchange
    refusal: str | None = None
    hide_usage: bool = False
    waited: float = 0.0
    said: list[str] = field(default_factory=list)
    held: deque[Held] = field(default_factory=deque)
    decoder: sse.Decoder = field(default_factory=sse.Decoder)

    async def relayed(self, chunks: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        """The client's bytes. Raises `PolicyBlocked`, `PolicyUnavailable` or `UpstreamError`; `ending` turns those
        into the stream's last events.
        """
        async with aclosing(chunks):
            while not self.tally.done and (chunk := await self._next(chunks)):
                if out := await self._fed(chunk):
                    yield out
        if out := await self._flushed():
            yield out
        await self.window.watch()

    async def _next(self, chunks: AsyncGenerator[bytes, None]) -> bytes:
        """The upstream's next bytes, none at its end; the wait is the upstream's time, not ours."""
        began = self.tally.clock()
        try:
            return await anext(chunks, b"")
        finally:
            self.waited += self.tally.clock() - began

    async def _fed(self, chunk: bytes) -> bytes:
        try:
            events = self.decoder.feed(chunk)
        except sse.Oversized as error:
            raise UpstreamBroken(f"The upstream's stream cannot be read: {error}.") from None
        fresh = False
        for event in events:
            fresh |= self._take(event)
            if self.tally.done:
                break
        if fresh:
            await self._judge()
        return b"".join(self._cleared())

    def _take(self, event: sse.Event) -> bool:
        """Queue one event; whether it brought anything to judge."""
        if event.data == sse.DONE:
            self.tally.done = True
            self.window.finish()
            self.held.append(Held(event, {}, ()))
            return True
        chunk = self._chunk(event)
        texts = chat.deltas(chunk)
        self.tally.note(chunk, texts)
        if self.hide_usage and chat.only_usage(chunk):
            return False
        self.said += (t.text for t in texts if t.key == _FIRST)
        spans = tuple(self._span(text) for text in texts)
        self.held.append(Held(event, chunk, spans))
        ended = chat.finished(chunk)
        if ended:
            self.window.finish(ended)
        return bool(spans or ended)

    def _chunk(self, event: sse.Event) -> dict[str, Any]:
        if not event.data:
            return {}
        try:
            chunk = orjson.loads(event.data)
        except orjson.JSONDecodeError:
            chunk = None
        if not isinstance(chunk, dict):
            raise UpstreamBroken("The upstream sent a stream event that is not a JSON object.")
        return chunk

    def _span(self, delta: chat.Delta) -> Span:
        size = len(delta.text.encode("utf-8", "surrogatepass"))
        self.exchange.scannable += size
        self.exchange.scanned += size
        passage = Passage(delta.path, "assistant", "output", delta.text, delta.channel)
        return Span(delta.path, *self.window.feed(delta.key, delta.key[0], passage))

    async def _judge(self) -> None:
        enforce([await self.window.judge()], self.refusal)

    def _cleared(self) -> Iterator[bytes]:
        while self.held and self.held[0].clear:
            yield self.held.popleft().encoded()
        for channel in self.window.channels.values():
            channel.forget(
                min((s.start for h in self.held for s in h.spans if s.channel is channel), default=channel.clear)
            )

    async def _flushed(self) -> bytes:
        """The end: what is left is judged as final. A stream that never said it ended did not."""
        if not self.tally.done and not self.tally.finish:
            raise UpstreamBroken("The upstream's stream ended before the answer did.")
        self.window.finish()
        await self._judge()
        return b"".join(self._cleared()) + (self.decoder.rest if not self.tally.done else b"")

    def text(self) -> str:
        """What the model said in its first choice, as far as it got."""
        return "".join(self.said)
