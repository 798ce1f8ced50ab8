"""What Anthropic's Messages API says on the wire, as scripts: what a provider that is not OpenAI-shaped looks like."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from support.answers import answer, stream
from support.script import Script, Seen

USAGE = {
    "input_tokens": 11,
    "cache_creation_input_tokens": 3,
    "cache_read_input_tokens": 7,
    "output_tokens": 5,
}


def says(*blocks: dict[str, Any], model: str = "claude-sonnet-4-5", stop: str = "end_turn") -> Script:
    """A whole message made of content `blocks`."""
    return answer(message(list(blocks), model, stop))


def message(blocks: Sequence[dict[str, Any]], model: str, stop: str | None) -> dict[str, Any]:
    return {
        "id": "msg_01",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": blocks,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": USAGE,
    }


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


def tool_use(name: str, given: dict[str, Any], id_: str = "toolu_01") -> dict[str, Any]:
    return {"type": "tool_use", "id": id_, "name": name, "input": given}


def streams(*blocks: dict[str, Any], stop: str = "end_turn", delay: float = 0.0) -> Script:
    """The same as server-sent events, texts word by word and tool inputs in pieces."""
    return stream(events(*blocks, stop=stop), delay)


def events(*blocks: dict[str, Any], stop: str = "end_turn") -> list[bytes]:
    """The events of a streamed message, from `message_start` to `message_stop`."""
    begun = {**message([], "claude-sonnet-4-5", None), "usage": {**USAGE, "output_tokens": 1}}
    told = [event({"type": "message_start", "message": begun}), event({"type": "ping"})]
    for index, block in enumerate(blocks):
        told += _block(index, block)
    ended = {"stop_reason": stop, "stop_sequence": None}
    told.append(event({"type": "message_delta", "delta": ended, "usage": {"output_tokens": 5}}))
    return [*told, event({"type": "message_stop"})]


def event(body: dict[str, Any]) -> bytes:
    return f"event: {body['type']}\ndata: {json.dumps(body)}\n\n".encode()


def refuses(status: int, kind: str, said: str, headers: Sequence[tuple[str, str]] = ()) -> Script:
    """An error as Anthropic words it, such as `429, "rate_limit_error"`."""
    body = {"type": "error", "error": {"type": kind, "message": said}, "request_id": "req_01"}
    return answer(body, status, [("content-type", "application/json"), *headers])


def echo(seen: Seen) -> Script:
    """Say the last user message back, streamed if asked."""
    asked = seen.json()
    content = asked["messages"][-1]["content"]
    said = content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
    return streams(text(said)) if asked.get("stream") else says(text(said), model=asked["model"])


def _block(index: int, block: dict[str, Any]) -> list[bytes]:
    begun: dict[str, Any]
    if block["type"] == "text":
        begun = {"type": "text", "text": ""}
        deltas = [{"type": "text_delta", "text": piece} for piece in _pieces(block["text"])]
    else:
        begun = block | {"input": {}}
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in _pieces(json.dumps(block["input"]))]
    return [
        event({"type": "content_block_start", "index": index, "content_block": begun}),
        *(event({"type": "content_block_delta", "index": index, "delta": delta}) for delta in deltas),
        event({"type": "content_block_stop", "index": index}),
    ]


def _pieces(said: str) -> list[str]:
    return [said[at : at + 6] for at in range(0, len(said), 6)]
