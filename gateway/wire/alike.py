"""Chunks of a stream that differ in one text: nearly all of them do, and need not be read from their first byte on.

Bodies that are alike but for one JSON string in a value's place have the same structure: whatever was found in the one
beside that string stands in the other as well. OpenAI puts a word of random length behind the text, `obfuscation`; that
may differ too, as long as it is such a word.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

from gateway.wire import body as json_body
from gateway.wire import chat, logprobs

_TEXTS = frozenset({"arguments", "content", "reasoning", "reasoning_content", "refusal", "text", "thinking"})
"""Fields in which every string but the empty one is text, whatever it says."""

_NOISE = "obfuscation"
_PROBE, _NOISY = 'another\n"text"', "another.word"
_TRIES = 8  # chunks in a row that were alike to none before them; then only every so often another is tried
_SELDOM = 64


class Mould(NamedTuple):
    """What chunks have in common: the bytes around their text, what else was read of them, and which text it is.

    Where there is an `obfuscation`, it stands between `tail` and `end`.
    """

    head: bytes
    tail: bytes
    end: bytes | None
    chunk: dict[str, Any]
    text: chat.Delta

    def read(self, data: bytes) -> chat.Delta | None:
        """The text of a chunk that is alike, `data`; None where it has to be read whole."""
        head, tail, end, _, (key, path, _, channel) = self
        if end is not None:
            if not data.endswith(end):
                return None
            begin, data = data.find(tail, len(head)), data[: len(data) - len(end)]
            if begin < 0 or not _is_noise(data[begin + len(tail) :]):
                return None
            data = data[: begin + len(tail)]
        if not (data.startswith(head) and data.endswith(tail) and len(data) > len(head) + len(tail) + 2):
            return None
        try:
            text = orjson.loads(data[len(head) : len(data) - len(tail)])
        except orjson.JSONDecodeError:
            return None
        return chat.Delta(key, path, text, channel) if type(text) is str else None


class Alike:
    """The newest chunk of a stream that was read whole, and whether others are alike to it."""

    __slots__ = ("_left", "mould")

    def __init__(self) -> None:
        self.mould: Mould | None = None
        self._left = _TRIES

    def read(self, data: bytes) -> chat.Delta | None:
        """The only text of a chunk that differs from the one that was `learned` in nothing else that matters."""
        found = self.mould.read(data) if self.mould is not None else None
        if found is not None:
            self._left = _TRIES
        return found

    def learn(self, data: bytes, chunk: dict[str, Any], texts: list[chat.Delta]) -> None:
        """`data` was read as `chunk`, and has `texts`."""
        self._left -= 1
        if self._left < 0 and self._left % _SELDOM:
            self.mould = None
        else:
            self.mould = _mould(data, chunk, texts)


def _mould(data: bytes, chunk: dict[str, Any], texts: list[chat.Delta]) -> Mould | None:
    """What to compare others to, if `data` has one text and says nothing more."""
    if len(texts) != 1 or texts[0].key is None or texts[0].path[-1] not in _TEXTS:
        return None
    if chunk.get("usage") or chunk.get("error") or logprobs.tokens(chunk) or any(end for _, end in chat.choices(chunk)):
        return None
    head, tail = _around(data, texts[0].text)
    if tail is None:
        return None
    if type(chunk.get(_NOISE)) is not str:
        found = Mould(head, tail, None, chunk, texts[0])
    else:
        tail, end = _around(tail, chunk[_NOISE])
        found = Mould(head, tail, end, chunk, texts[0])
        if end is None:
            return None
    return found if _holds(found) else None


def _around(data: bytes, text: str) -> tuple[bytes, bytes | None]:
    """What stands before and after the one place where `text` does; None where there is not just one."""
    try:
        before, spelt, after = data.partition(orjson.dumps(text))
    except TypeError:  # half a surrogate pair
        return b"", None
    return before, after if spelt and spelt not in after else None


def _holds(mould: Mould) -> bool:
    """Whether what stands between is the text, and no field's name that is spelt alike."""
    noisy = mould.end is not None
    raw = (
        mould.head
        + orjson.dumps(_PROBE)
        + mould.tail
        + (orjson.dumps(_NOISY) + mould.end if mould.end is not None else b"")
    )
    changed = json_body.rewritten(mould.chunk, [(mould.text.path, _PROBE), *([((_NOISE,), _NOISY)] if noisy else [])])
    try:
        return bool(orjson.loads(raw) == changed)
    except orjson.JSONDecodeError:
        return False


def _is_noise(spelt: bytes) -> bool:
    """Whether it is a word of the kind that is nobody's text."""
    return spelt[:1] == spelt[-1:] == b'"' and chat.is_identifier(spelt[1:-1])
