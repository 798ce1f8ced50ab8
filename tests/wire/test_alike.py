"""Chunks that are alike but for their text: what is told without reading them whole is what reading them tells."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.wire import body as json_body
from gateway.wire import chat, completions, logprobs, sse
from gateway.wire.alike import Alike

TEXTS = [
    "content",
    "role",
    "assistant",
    "a",
    " word",
    "\n",
    '"',
    "\\",
    "\u00e9",
    "\u4f60\u597d",
    "\x00",
    '"},"x":{"content":"y',
    "",
    "obfuscation",
]
SPELT = [*(orjson.dumps(text) for text in TEXTS), b'"\\u0061"', b'"\\ud800"', b'"a', b'a"', b"null", b"7", b"{}"]
SPELT += [b'"a","content":"b"', b'"\x01"', b'"\xff"']
HEAD = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m-1", "system_fingerprint": "fp"}


def chunk(delta: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**HEAD, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}], **more}


def shapes(text: str, noise: str) -> list[dict[str, Any]]:
    call = {"index": 2, "function": {"arguments": text}}
    return [
        chunk({"content": text}),
        chunk({"role": "assistant", "content": text}),
        chunk({"content": text}, usage=None),
        chunk({"content": text}, usage=None, obfuscation=noise),
        chunk({"reasoning_content": text}),
        chunk({"tool_calls": [call]}),
        chunk({"content": text}, usage={"prompt_tokens": 1, "completion_tokens": 2}),
        chunk({"content": text, "refusal": "no"}),
        chunk({"unknown": text}),
        {**HEAD, "choices": [{"index": 1, "text": text, "finish_reason": None}]},
        {**HEAD, "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": "stop"}]},
        {**HEAD, "choices": [{"index": 0, "delta": {"content": text}, "logprobs": {"content": [{"logprob": -1}]}}]},
        {"a": "content", "content": {"content": text}, "choices": [{"index": 0, "delta": {"content": text}}]},
    ]


def told(chunk: dict[str, Any]) -> Any:
    """All that is ever asked of a chunk, beside its texts and those words that are nobody's text."""
    known = chat.usage(chunk), chat.model(chunk), chat.failed(chunk), chat.choices(chunk), chat.only_usage(chunk)
    return known, logprobs.tokens(chunk), {name: chunk.get(name) for name in HEAD}


def spelt(data: bytes) -> bytes:
    return b"data: " + data + b"\n\n"


def holds(alike: Alike, data: bytes) -> bool:
    """Whether `data` was told without reading it whole; then it was told rightly."""
    text = alike.read(spelt(data))
    if text is None or alike.mould is None:
        return False
    (event,) = sse.Decoder().feed(spelt(data))
    assert event == sse.Event(data, spelt(data))
    read = json_body.answer(data)
    found = alike.mould.text._replace(text=text)
    assert alike.mould.key == found.key
    for deltas in (chat.deltas, completions.deltas):
        assert deltas(read) == [found] or deltas(alike.mould.chunk) != [alike.mould.text]
    assert chat.deltas(read) == [found]
    assert told(read) == told(alike.mould.chunk)
    assert {**json_body.rewritten(alike.mould.chunk, [(found.path, found.text)]), "obfuscation": 0} == {
        **read,
        "obfuscation": 0,
    }
    return True


def learned(data: bytes) -> Alike:
    alike, read = Alike(), json_body.answer(data)
    alike.learn(sse.parsed(spelt(data)), read, chat.deltas(read))
    return alike


@given(
    first=st.sampled_from(TEXTS[:-2]) | st.text(min_size=1),
    second=st.sampled_from(TEXTS) | st.text(),
    noises=st.tuples(*[st.sampled_from(["a", "Zq9", "two words", "", "a" * 300, "\u00e9"])] * 2),
    shape=st.integers(0, len(shapes("", "")) - 1),
    other=st.integers(0, len(shapes("", "")) - 1) | st.none(),
)
@settings(max_examples=300)
def test_a_chunk_that_is_alike_says_what_reading_it_says(
    first: str, second: str, noises: tuple[str, str], shape: int, other: int | None
) -> None:
    try:
        one = orjson.dumps(shapes(first, noises[0])[shape])
        two = orjson.dumps(shapes(second, noises[1])[shape if other is None else other])
    except TypeError:  # half a surrogate pair
        return
    holds(learned(one), two)


@given(
    text=st.sampled_from([text for text in TEXTS if text]),
    other=st.sampled_from(SPELT),
    shape=st.integers(0, len(shapes("", "")) - 1),
    cuts=st.lists(
        st.tuples(st.integers(0, 300), st.integers(0, 3), st.sampled_from([b"", b'"', b"}", b"a", b"\\", *SPELT])),
        max_size=2,
    ),
)
@settings(max_examples=500)
def test_bytes_that_were_tampered_with_are_read_whole_or_rightly(
    text: str, other: bytes, shape: int, cuts: list[tuple[int, int, bytes]]
) -> None:
    data = orjson.dumps(shapes(text, "Zq9")[shape])
    alike = learned(data)
    found = data.replace(orjson.dumps(text), other)
    for at, gone, new in cuts:
        found = found[:at] + new + found[at + gone :]
    try:
        json_body.answer(found)
    except json_body.Unreadable:
        assert alike.read(spelt(found)) is None
    else:
        holds(alike, found)


@pytest.mark.parametrize("shape", [0, 1, 2, 3, 4, 5, 9])
def test_nearly_every_chunk_is_alike(shape: int) -> None:
    alike = learned(orjson.dumps(shapes(" harbour", "Zq9")[shape]))
    for text in (" town", '"', "\n", "\u4f60", "a\\b", " harbour"):
        assert holds(alike, orjson.dumps(shapes(text, "aB3xY")[shape])), text


@pytest.mark.parametrize("shape", [6, 7, 8, 10, 11])
def test_what_says_more_than_a_text_is_read_whole(shape: int) -> None:
    assert learned(orjson.dumps(shapes(" harbour", "Zq9")[shape])).mould is None


def test_a_field_whose_name_reads_like_the_text_is_not_taken_for_it() -> None:
    named = b'{"choices":[{"index":0,"delta":{"content":"\\u0061"},"a":{}}]}'
    assert learned(named).mould is None
    twice = b'{"choices":[{"index":0,"delta":{"content":"x","content":"\\u0078"}}]}'
    assert learned(twice).mould is None


def test_chunks_that_are_never_alike_are_soon_compared_seldom() -> None:
    alike, made = Alike(), 0
    for turn in range(1000):
        read = chunk({"content": "x"}, created=turn)
        alike.learn(sse.parsed(spelt(orjson.dumps(read))), read, chat.deltas(read))
        made += alike.mould is not None
    assert 8 < made < 40
