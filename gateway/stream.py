"""The streamed half of the path: an upstream's bytes in, the client's bytes out, judged in between.

One async generator, `Relay.relayed`, walks the upstream's chunks; decoding, judging and tallying are plain objects it
asks in turn. An event leaves when every text in it is clear, in the order it came; one that nobody touched leaves as
the bytes it came as.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Hashable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from gateway.config.policy import Refusal
from gateway.errors import PolicyBlocked, PolicyUnavailable, TidegateError, UpstreamBroken, UpstreamError
from gateway.exchange import Exchange
from gateway.policy.channel import Channel
from gateway.policy.policy import enforce
from gateway.policy.window import Span, Window
from gateway.wire import body as json_body
from gateway.wire import chat, envelope, logprobs, sse
from gateway.wire.codec import CHAT, Codec
from gateway.wire.passage import Path
from gateway.wire.usage import Counts

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
        return all(span.channel.clear >= span.end for _, span in self.spans)

    def encoded(self) -> bytes:
        """The event's own bytes, or the chunk anew where a rewrite touched it."""
        changed = [(path, span) for path, span in self.spans if span.touched]
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
    gaps: list[float] = field(default_factory=list)
    newest: dict[str, Any] | None = None
    choices: dict[int, bool] = field(default_factory=dict)  # by index: whether it ended
    said: list[str] = field(default_factory=list)
    others: dict[int, list[str]] = field(default_factory=dict)  # what the other choices say
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
            self._note_texts(spoken)
            if len(self.tokens) < _TOKENS:
                self.tokens += logprobs.tokens(chunk)

    def _note_texts(self, texts: list[chat.Delta]) -> None:
        now = self.clock()
        if self.last is not None:
            self.gaps.append(now - self.last)
        self.last = now
        for text in texts:
            self.characters += len(text.text)
            if text.key == self.codec.first:
                self.said.append(text.text)
            elif text.key and self.codec.first and text.key[1] == self.codec.first[1]:
                self.others.setdefault(text.key[0], []).append(text.text)

    def text(self) -> str:
        """What the model said in its first choice, as far as it got."""
        return "".join(self.said)

    def samples(self) -> list[str]:
        """What it said in the other choices, in their order."""
        return ["".join(self.others[index]) for index in sorted(self.others)]


class Keeper(Protocol):
    """Who keeps the texts of an answer for its record."""

    def came(self, texts: Iterable[chat.Delta], *, judged: bool) -> None: ...
    def left(self, spans: Iterable[Span], channels: Mapping[Hashable, Channel]) -> None: ...


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

    async def relayed(self, chunks: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        """The client's bytes, but for the `last` ones: when it comes to those the exchange can be recorded.

        Rails that only watch keep the client waiting for one event, the last.

        Raises `PolicyBlocked`, `PolicyUnavailable` or `UpstreamError`; `ending` says how the stream ends then.
        """
        out: list[bytes] = []
        while not self.done and (chunk := await self._next(chunks)):
            for event in self._decoded(chunk):
                self._take(event)
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

    async def _next(self, chunks: AsyncGenerator[bytes, None]) -> bytes:
        """The upstream's next bytes, none at its end; the wait is the upstream's time, not ours."""
        began = self.tally.clock()
        try:
            return await anext(chunks, b"")
        finally:
            self.exchange.timing.upstream += self.tally.clock() - began

    def _decoded(self, chunk: bytes) -> list[sse.Event]:
        try:
            return self.decoder.feed(chunk)
        except sse.Oversized as error:
            raise UpstreamBroken(f"The upstream's stream cannot be read: {error}.") from None

    def _take(self, event: sse.Event) -> None:
        """Queue one event and feed its texts to the window. What follows `[DONE]` is nobody's."""
        if self.done:
            return
        chunk, texts = self._read(event)
        self.tally.note(chunk, texts)
        if self.hide_usage and chat.only_usage(chunk):
            return
        if self.keeper:
            self.keeper.came(texts, judged=not self.window.idle)
        if event.other:
            texts.append(chat.Delta(None, _OTHER, event.other.decode("utf-8", "replace"), "field"))
        self.held.append(Held(event, chunk, self._fed(texts), any(text.key is not None for text in texts)))
        if event.data == sse.DONE:
            self.done = True
            self.window.finish()

    def _read(self, event: sse.Event) -> tuple[dict[str, Any], list[chat.Delta]]:
        if not event.data or event.data == sse.DONE:
            return {}, []
        try:
            chunk = json_body.answer(event.data)
            return chunk, self.tally.codec.deltas(chunk)
        except json_body.Unreadable as error:
            raise UpstreamBroken(f"The upstream sent a stream event that cannot be read: {error}.") from None

    def _fed(self, texts: list[chat.Delta]) -> tuple[tuple[Path, Span], ...]:
        size = sum([len(text.text.encode("utf-8", "surrogatepass")) for text in texts])
        self.exchange.scannable += size
        self.exchange.scanned += size
        if self.window.idle:
            return ()
        return tuple([(text.path, self.window.feed(text.key, text)) for text in texts])

    async def _passed(self) -> list[bytes]:
        """The events that may leave now."""
        if self.window.fresh:
            enforce(await self.window.judge(), self.refusal)
        out: list[bytes] = []
        while self.held and self.held[0].clear:
            held = self.held.popleft()
            out.append(held.encoded())
            if self.keeper:
                self.keeper.left([span for _, span in held.spans], self.window.channels)
            for _, span in held.spans:
                span.channel.forget()
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


async def drained(chunks: AsyncGenerator[bytes, None]) -> None:
    """Read what little a finished upstream may still say, so that its connection can be used again."""
    with suppress(TimeoutError, UpstreamError):
        async with asyncio.timeout(_DRAIN_S):
            async for _ in chunks:
                pass
