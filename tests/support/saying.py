"""Chat answers as models give them, and every way a server may cut one into chunks. For property tests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from hypothesis import strategies as st

Object = dict[str, Any]

texts = st.text(max_size=30)
names = st.from_regex(r"[a-z_]{1,12}", fullmatch=True)
inputs = st.dictionaries(names, st.text(max_size=12) | st.integers(-999, 999) | st.booleans(), max_size=3)


@st.composite
def answers(draw: st.DrawFn) -> Object:
    """A whole `chat.completion`: reasoning, text, calls and usage where the model gave any."""
    calls = [_call(draw, at) for at in range(draw(st.integers(0, 3)))]
    message: Object = {"role": "assistant", "content": draw(texts)}
    reasoning = draw(texts)
    message |= {"reasoning_content": reasoning} if reasoning else {}
    message |= {"tool_calls": calls} if calls else {}
    finish = draw(st.sampled_from(["stop", "length", "content_filter", *(["tool_calls"] if calls else [])]))
    return _answer("chat.completion", [{"index": 0, "message": message, "finish_reason": finish}]) | draw(_usages)


@st.composite
def cuts(draw: st.DrawFn, answer: Object) -> list[Object]:
    """`answer` as chunks: any pieces, calls interleaved at will, the end and the usage where servers put them."""
    choice = answer["choices"][0]
    message = choice["message"]
    deltas: list[Object] = [{"role": "assistant", "content": ""}]
    for key in ("reasoning_content", "content"):
        deltas += [{key: piece} for piece in _pieces(draw, message.get(key, ""))]
    deltas += _interleaved(
        draw, [_call_deltas(draw, at, call) for at, call in enumerate(message.get("tool_calls", ()))]
    )
    chunks = [_chunk(delta) for delta in deltas]
    if draw(st.booleans()):
        chunks.append(_chunk({}))
    chunks[-1]["choices"][0]["finish_reason"] = choice["finish_reason"]
    if "usage" in answer and draw(st.booleans()):
        return [*chunks, _answer("chat.completion.chunk", []) | {"usage": answer["usage"]}]
    chunks[-1] |= {"usage": answer["usage"]} if "usage" in answer else {}
    return chunks


def _call(draw: st.DrawFn, at: int) -> Object:
    function = {"name": draw(names), "arguments": json.dumps(draw(inputs))}
    return {"id": f"call_{at}{draw(names)}", "type": "function", "function": function}


@st.composite
def _usage(draw: st.DrawFn) -> Object:
    count = st.integers(0, 1000)
    asked, said = draw(count), draw(count)
    details = {"cached_tokens": draw(st.integers(0, asked))}, {"reasoning_tokens": draw(st.integers(0, said))}
    told = {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}
    return {"usage": told | {"prompt_tokens_details": details[0], "completion_tokens_details": details[1]}}


_usages: st.SearchStrategy[Object] = _usage() | st.just({})


def _answer(kind: str, choices: list[Object]) -> Object:
    return {"id": "chatcmpl-7", "object": kind, "created": 1_700_000_000, "model": "m-1", "choices": choices}


def _chunk(delta: Object) -> Object:
    return _answer("chat.completion.chunk", [{"index": 0, "delta": delta, "finish_reason": None}])


def _pieces(draw: st.DrawFn, text: str) -> list[str]:
    marks = sorted({0, len(text), *draw(st.lists(st.integers(0, len(text)), max_size=4))})
    return [text[a:b] for a, b in pairwise(marks)]


def _call_deltas(draw: st.DrawFn, index: int, call: Object) -> list[Object]:
    pieces = _pieces(draw, call["function"]["arguments"])
    opening = {"name": call["function"]["name"], "arguments": pieces.pop(0) if draw(st.booleans()) else ""}
    first = {"index": index, "id": call["id"], "type": "function", "function": opening}
    return [first, *({"index": index, "function": {"arguments": piece}} for piece in pieces)]


def _interleaved(draw: st.DrawFn, calls: Sequence[list[Object]]) -> list[Object]:
    """The deltas of all calls, each call's in order; calls begin in order."""
    waiting = [list(deltas) for deltas in calls]
    begun = 0
    out: list[Object] = []
    while any(waiting):
        ready = [at for at, deltas in enumerate(waiting) if deltas and at <= begun]
        if not ready:
            ready = [begun := begun + 1]
        at = draw(st.sampled_from(ready))
        begun = max(begun, at + 1)
        out.append({"tool_calls": [waiting[at].pop(0)]})
    return out
