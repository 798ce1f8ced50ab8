"""The streamed half of the path: an upstream's bytes in, the client's bytes out, judged in between.

One async generator, `Relay.relayed`, walks the upstream's chunks; decoding, judging and tallying are plain objects it
asks in turn. An event leaves when every text in it is clear, in the order it came; one that nobody touched leaves as
the bytes it came as. Where nobody needs to be waited for, a chunk goes the same way the moment it comes: by `_poured`,
without a task being woken.
"""

from __future__ import annotations

import asyncio
from array import array
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from io import StringIO
from typing import Any, NamedTuple, Protocol

from gateway.config.policy import Refusal
from gateway.errors import PolicyBlocked, PolicyUnavailable, TidegateError, UpstreamBroken, UpstreamError
from gateway.exchange import Exchange
from gateway.policy.channel import Channel
from gateway.policy.policy import enforce
from gateway.policy.verdict import ALLOW
from gateway.policy.window import Span, Window
from gateway.upstream import Chunks, Flowing
from gateway.wire import body as json_body
from gateway.wire import chat, envelope, logprobs, sse
from gateway.wire.alike import Alike, Mould
from gateway.wire.codec import CHAT, Codec
from gateway.wire.passage import Path
from gateway.wire.usage import Counts

Flow = Callable[[Callable[[bytes], bool]], Awaitable[bool]]
"""`Flowing.flow`."""

_OTHER: Path = (-1,)  # where an event's lines stand that are not data; no path in an object begins so
_TOKENS = 16_384  # whose log-probabilities are kept for the scorer
_DRAIN_S = 0.25
"""How long a finished upstream may take to close its body, so that its connection can be used again."""


class Held(NamedTuple):
    """An event waiting for its texts to become clear."""

    event: sse.Event
    chunk: dict[str, Any]
    spans: tuple[tuple[Path, Span], ...]
    spoken: bool  # whether the model says something in it

    @property
    def clear(self) -> bool:
        for _, (channel, _, end) in self.spans:  # noqa: SIM110 - a generator is dearer than all that it would walk
            if channel.clear < end:
                return False
        return True

    def encoded(self) -> bytes:
        """The event's own bytes, or the chunk anew where a rewrite touched it."""
        changed = [(path, span) for path, span in self.spans if span.channel.edits and span.touched]
        if not changed:
            return self.event.raw
        texts = [(path, span.delivered()) for path, span in changed if path != _OTHER]
        other = self.event.other if len(texts) == len(changed) else b""
        if not self.event.data:
            return other and other + b"\n"
        if not texts:
            return sse.encoded(self.event.data, other)
        chunk = chat.without_logprobs(json_body.rewritten(self.chunk, texts))
        return sse.encoded(json_body.encoded(chunk), other)


@dataclass(slots=True)
class Tally:
    """What a stream adds up to: tokens as the upstream counts them, when its texts came, how it ended."""

    clock: Callable[[], float]
    codec: Codec = CHAT
    counts: Counts | None = None
    spent: Any = None  # the usage object as the upstream wrote it
    model: str = ""
    finish: str = ""
    failed: bool = False  # the upstream said so itself
    last: float | None = None
    gaps: array[float] = field(default_factory=lambda: array("d"))
    newest: dict[str, Any] | None = None
    choices: dict[int, bool] = field(default_factory=dict)  # by index: whether it ended
    said: StringIO = field(default_factory=StringIO)
    others: dict[int, StringIO] = field(default_factory=dict)  # what the other choices say
    tokens: list[logprobs.Token] = field(default_factory=list)  # of the first choice, where the upstream tells
    characters: int = 0  # of all that the model wrote

    def note(self, chunk: dict[str, Any], texts: list[chat.Delta]) -> None:
        self.newest = chunk
        if "usage" in chunk and (counts := chat.usage(chunk)):
            self.counts, self.spent = counts, chunk["usage"]
        if chunk.get("model") != self.model:
            self.model = chat.model(chunk) or self.model
        self.failed = self.failed or chat.failed(chunk)
        for index, reason in chat.choices(chunk):
            self.choices[index] = bool(reason) or self.choices.get(index, False)
            if reason and not self.finish:
                self.finish = chat.finish_word(reason)
        spoken = [text for text in texts if text.key is not None]
        if spoken:
            self._beat(self.clock())
            for text in spoken:
                self._add(text.key, text.text)
            if len(self.tokens) < _TOKENS:
                self.tokens += logprobs.tokens(chunk)

    def hear(self, key: chat.Key, text: str, now: float) -> None:
        """The model says `text`, in the place that `key` names, and nothing else."""
        self._beat(now)
        self._add(key, text)

    def _beat(self, now: float) -> None:
        if self.last is not None:
            self.gaps.append(now - self.last)
        self.last = now

    def _add(self, key: chat.Key | None, text: str) -> None:
        self.characters += len(text)
        first = self.codec.first
        if key == first:
            self.said.write(text)
        elif key and first and key[1] == first[1]:
            self.others.setdefault(key[0], StringIO()).write(text)

    def text(self) -> str:
        """What the model said in its first choice, as far as it got."""
        return self.said.getvalue()

    def samples(self) -> list[str]:
        """What it said in the other choices, in their order."""
        return [self.others[index].getvalue() for index in sorted(self.others)]


class Keeper(Protocol):
    """Who keeps the texts of an answer for its record."""

    def came(self, texts: Iterable[chat.Delta], *, judged: bool) -> None: ...
    def left(self, spans: Iterable[Span], channels: Mapping[Hashable, Channel]) -> None: ...


class Outlet(Protocol):
    """Where a stream's pieces can be told at once. While it is not `open`, they go the way that can wait."""

    @property
    def open(self) -> bool: ...
    def write(self, piece: bytes) -> None: ...


@dataclass(slots=True)
class Relay:
    """One stream on its way through. `hide_usage` drops the usage chunk that only the gateway asked for."""

    window: Window
    tally: Tally
    exchange: Exchange
    refusal: Refusal = field(default_factory=Refusal)
    hide_usage: bool = False
    done: bool = False
    last: bytes = b""
    keeper: Keeper | None = None
    held: deque[Held] = field(default_factory=deque)
    decoder: sse.Decoder = field(default_factory=sse.Decoder)
    outlet: Outlet | None = None
    alike: Alike = field(default_factory=Alike)
    busy: float = 0.0  # seconds that were ours while the upstream was waited for

    async def relayed(self, chunks: Chunks) -> AsyncGenerator[bytes, None]:
        """The client's bytes, but for the `last` ones: when it comes to those the exchange can be recorded.

        Bytes that the `outlet` was told are not among them.

        Rails that only watch keep the client waiting for one event, the last.

        Raises `PolicyBlocked`, `PolicyUnavailable` or `UpstreamError`; `ending` says how the stream ends then.
        """
        out: list[bytes] = []
        flow = chunks.flow if isinstance(chunks, Flowing) else None
        while not self.done and await self._came(chunks, flow):
            out = await self._passed()
            if out and not self.done:
                yield b"".join(out)
        out = out if self.done else await self._ended()
        if self.window.watched:
            if len(out) > 1:
                yield b"".join(out[:-1])
            await self.window.watch()
            out = out[-1:]
        self.last = b"".join(out)

    async def _came(self, chunks: Chunks, flow: Flow | None) -> bool:
        """Take what the upstream says next; False at its end. The wait is the upstream's time, not ours."""
        began, self.busy, clock = self.tally.clock(), 0.0, self.tally.clock
        try:
            if flow is not None:
                return await flow(self._poured)
            chunk = await anext(chunks, b"")
        finally:
            self.exchange.timing.upstream += clock() - began - self.busy
        self._taken(chunk)
        return bool(chunk)

    def _poured(self, chunk: bytes) -> bool:
        """Take a chunk and pass on what may leave, if nobody needs to be waited for: neither a rail nor the client."""
        began = self.tally.clock()
        try:
            text = self.alike.read(chunk) if self.prompt else None
            if text is not None and self.alike.mould is not None:
                return self._went(chunk, text, self.alike.mould, began)
            self._taken(chunk)
            if self.done or self.outlet is None or not self.outlet.open or not self._judged():
                return False
            if out := self._left():
                self.outlet.write(b"".join(out))
            return True
        finally:
            self.busy += self.tally.clock() - began

    @property
    def prompt(self) -> bool:
        """Whether the next bytes begin an event that nobody but the window wants to see."""
        return not (self.done or self.keeper) and self.decoder.between and self.outlet is not None

    def _went(self, raw: bytes, text: str, mould: Mould, now: float) -> bool:
        """One event that is alike to those before but for its text: as `_take` and `_left`, and whether it left."""
        exchange, window, outlet, span = self.exchange, self.window, self.outlet, None
        self.tally.hear(mould.key, text, now)
        size = len(text) if text.isascii() else _size(text)
        exchange.scannable += size
        exchange.scanned += size
        if window.groups or not window.vault.empty:
            span = window.go_on(mould.key, text)
        if outlet is None or not outlet.open or (span is not None and not self._judged()):
            self._hold_alike(raw, mould, span)
            return False
        if self.held or (span is not None and (span.channel.clear < span.end or span.channel.edits)):
            self._hold_alike(raw, mould, span)
            if out := self._left():
                outlet.write(b"".join(out))
            return True
        if span is not None:
            span.channel.forget()
        if exchange.timing.first_token is None:
            exchange.timing.first_token = now
        outlet.write(raw)
        return True

    def _hold_alike(self, raw: bytes, mould: Mould, span: Span | None) -> None:
        spans = () if span is None else ((mould.text.path, span),)
        self.held.append(Held(sse.Event(raw[len(sse.DATA) : -2], raw), mould.chunk, spans, spoken=True))

    def _judged(self) -> bool:
        """Whether all rails that had to be asked could answer at once."""
        verdict = self.window.judged() if self.window.fresh else ALLOW
        if verdict is None:
            return False
        if verdict is not ALLOW:
            enforce(verdict, self.refusal)
        return True

    def _taken(self, chunk: bytes) -> None:
        for event in self._decoded(chunk):
            self._take(event)

    def _decoded(self, chunk: bytes) -> list[sse.Event]:
        try:
            return self.decoder.feed(chunk)
        except sse.Oversized as error:
            raise UpstreamBroken(f"The upstream's stream cannot be read: {error}.") from None

    def _take(self, event: sse.Event) -> None:
        """Queue one event and feed its texts to the window. What follows `[DONE]` is nobody's."""
        if self.done:
            return
        if self._takes_alike(event.raw):
            return
        chunk, texts = self._read(event)
        self.tally.note(chunk, texts)
        if self.hide_usage and chat.only_usage(chunk):
            return
        self.alike.learn(event, chunk, texts)
        self._hold(event, chunk, texts)
        if event.data == sse.DONE:
            self.done = True
            self.window.finish()

    def _takes_alike(self, raw: bytes) -> bool:
        """`_take` one that is alike to those before but for its text; False for another, of which nothing is taken."""
        text = self.alike.read(raw)
        if text is None or self.alike.mould is None:
            return False
        mould, window = self.alike.mould, self.window
        self.tally.hear(mould.key, text, self.tally.clock())
        self._count(_size(text))
        if self.keeper:
            self.keeper.came([mould.text._replace(text=text)], judged=not window.idle)
        self._hold_alike(raw, mould, None if window.idle else window.go_on(mould.key, text))
        return True

    def _read(self, event: sse.Event) -> tuple[dict[str, Any], list[chat.Delta]]:
        if not event.data or event.data == sse.DONE:
            return {}, []
        try:
            chunk = json_body.answer(event.data)
            return chunk, self.tally.codec.deltas(chunk)
        except json_body.Unreadable as error:
            raise UpstreamBroken(f"The upstream sent a stream event that cannot be read: {error}.") from None

    def _hold(self, event: sse.Event, chunk: dict[str, Any], texts: list[chat.Delta]) -> None:
        if self.keeper:
            self.keeper.came(texts, judged=not self.window.idle)
        if event.other:
            texts.append(chat.Delta(None, _OTHER, event.other.decode("utf-8", "replace"), "field"))
        spoken = False
        for text in texts:
            spoken = spoken or text.key is not None
        self.held.append(Held(event, chunk, self._fed(texts), spoken))

    def _fed(self, texts: list[chat.Delta]) -> tuple[tuple[Path, Span], ...]:
        self._count(sum([_size(text.text) for text in texts]))
        if self.window.idle:
            return ()
        return tuple([(text.path, self.window.feed(text.key, text)) for text in texts])

    def _count(self, size: int) -> None:
        self.exchange.scannable += size
        self.exchange.scanned += size

    async def _passed(self) -> list[bytes]:
        """The events that may leave now."""
        if self.window.fresh:
            enforce(await self.window.judge(), self.refusal)
        return self._left()

    def _left(self) -> list[bytes]:
        """The events that leave: those at the front of which all is judged."""
        out: list[bytes] = []
        while self.held and self.held[0].clear:
            held = self.held.popleft()
            out.append(held.encoded())
            if self.keeper:
                self.keeper.left([span for _, span in held.spans], self.window.channels)
            for _, (channel, _, _) in held.spans:
                channel.forget()
            if held.spoken and self.exchange.timing.first_token is None:
                self.exchange.timing.first_token = self.tally.clock()
        return out

    async def _ended(self) -> list[bytes]:
        """The upstream's bytes ended without `[DONE]`. A stream that never said it ended did not."""
        for event in self.decoder.finish():
            self._take(event)
        if not (self.done or self.tally.finish or self.tally.failed):
            raise UpstreamBroken("The upstream's stream ended before the answer did.")
        self.window.finish()
        return await self._passed()

    def ending(self, error: TidegateError) -> bytes:
        """The stream's last events where `error` cut it."""
        if not isinstance(error, PolicyBlocked | PolicyUnavailable):
            return chat.failure(envelope.error(error))
        held = {index for event in self.held for index, reason in chat.choices(event.chunk) if reason}
        open_ = [index for index, ended in self.tally.choices.items() if not ended or index in held]
        return self.tally.codec.refusal(self.tally.newest, open_ or [0], envelope.error(error), self.tally.spent)


def _size(text: str) -> int:
    """Bytes of UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


async def drained(chunks: Chunks) -> None:
    """Read what little a finished upstream may still say, so that its connection can be used again."""
    with suppress(TimeoutError, UpstreamError):
        async with asyncio.timeout(_DRAIN_S):
            async for _ in chunks:
                pass
