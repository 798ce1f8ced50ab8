"""Chunks of a stream that differ in one text: nearly all of them do, and need not be read from their first byte on.

Bodies that are alike but for one JSON string in a value's place have the same structure: whatever was found in the one
beside that string stands in the other as well. OpenAI puts a word of random length behind the text, `obfuscation`; that
may differ too, as long as it is such a word.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from gateway.wire import body as json_body
from gateway.wire import chat, logprobs, sse

_TEXTS = frozenset({"arguments", "content", "reasoning", "reasoning_content", "refusal", "text", "thinking"})
"""Fields in which every string but the empty one is text, whatever it says."""

_NOISE = "obfuscation"
_PROBE, _NOISY = 'another\n"text"', "another.word"
_TRIES = 8  # chunks in a row that were alike to none before them; then only every so often another is tried
_SELDOM = 64


@dataclass(frozen=True, slots=True)
class Mould:
    """What events have in common: the bytes around their text, what else was read of them, and which text it is.

    Where there is an `obfuscation`, it stands between `tail` and `end`.
    """

    head: bytes
    tail: bytes
    end: bytes | None
    chunk: dict[str, Any]
    key: chat.Key
    text: chat.Delta

    def read(self, raw: bytes) -> str | None:
        """The text of an event that is alike, `raw`; None where it has to be read whole."""
        head, tail = self.head, self.tail
        if self.end is not None:
            found = self._without_noise(raw, self.end)
            if found is None:
                return None
            raw = found
        if not (raw.startswith(head) and raw.endswith(tail) and len(raw) > len(head) + len(tail) + 2):
            return None
        try:
            text = orjson.loads(raw[len(head) : len(raw) - len(tail)])
        except orjson.JSONDecodeError:
            return None
        return text if type(text) is str else None

    def _without_noise(self, raw: bytes, end: bytes) -> bytes | None:
        """`raw` up to where the obfuscation begins."""
        if not raw.endswith(end) or (at := raw.find(self.tail, len(self.head))) < 0:
            return None
        at += len(self.tail)
        noise = raw[at : len(raw) - len(end)]
        known = noise[:1] == noise[-1:] == b'"' and chat.is_identifier(noise[1:-1])
        return raw[:at] if known else None


class Alike:
    """The newest event of a stream that was read whole, and whether others are alike to it."""

    __slots__ = ("_left", "mould")

    def __init__(self) -> None:
        self.mould: Mould | None = None
        self._left = _TRIES

    def read(self, raw: bytes) -> str | None:
        """The only text of an event that differs from the one that was `learned` in nothing else that matters."""
        if self.mould is None or (found := self.mould.read(raw)) is None:
            return None
        self._left = _TRIES
        return found

    def learn(self, event: sse.Event, chunk: dict[str, Any], texts: list[chat.Delta]) -> None:
        """`event` was read as `chunk`, and has `texts`."""
        self._left -= 1
        self.mould = None if self._left < 0 and self._left % _SELDOM else _mould(event, chunk, texts)


def _mould(event: sse.Event, chunk: dict[str, Any], texts: list[chat.Delta]) -> Mould | None:
    """What to compare others to, if an event has one text and says nothing more."""
    if len(texts) != 1 or not _alone(chunk) or not sse.plain(event.raw):
        return None
    text = texts[0]
    head, tail = _around(event.raw, text.text)
    if text.key is None or text.path[-1] not in _TEXTS or tail is None:
        return None
    end = None
    if type(chunk.get(_NOISE)) is str:
        tail, end = _around(tail, chunk[_NOISE])
        if end is None:
            return None
    found = Mould(head, tail, end, chunk, text.key, text)
    return found if _holds(found) else None


def _alone(chunk: dict[str, Any]) -> bool:
    """Whether there is nothing in a chunk but its text that anybody takes notice of each time."""
    ended = any(reason for _, reason in chat.choices(chunk))
    return not (ended or chunk.get("usage") or chunk.get("error") or logprobs.tokens(chunk))


def _around(data: bytes, text: str) -> tuple[bytes, bytes | None]:
    """What stands before and after the one place where `text` does; None where there is not just one."""
    try:
        before, spelt, after = data.partition(orjson.dumps(text))
    except TypeError:  # half a surrogate pair
        return b"", None
    return before, after if spelt and spelt not in after else None


def _holds(mould: Mould) -> bool:
    """Whether what stands between is the text, and no field's name that is spelt alike."""
    raw, changed = mould.head + orjson.dumps(_PROBE) + mould.tail, [(mould.text.path, _PROBE)]
    if mould.end is not None:
        raw, changed = raw + orjson.dumps(_NOISY) + mould.end, [*changed, ((_NOISE,), _NOISY)]
    try:
        return bool(orjson.loads(sse.parsed(raw).data) == json_body.rewritten(mould.chunk, changed))
    except orjson.JSONDecodeError:
        return False
