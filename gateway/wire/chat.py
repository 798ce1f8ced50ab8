"""`/v1/chat/completions`: which of its strings are text, where the text of a streamed chunk belongs, what a refusal
looks like. Knows the shapes of OpenAI's chat API and nothing of who judges or answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.errors import RequestError, Unprocessable
from gateway.wire import body as json_body
from gateway.wire import sse
from gateway.wire.passage import Passage, Path
from gateway.wire.usage import Counts, counts

ENDPOINT = "/chat/completions"

ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
PARTS = frozenset({"text", "image_url", "input_audio", "file", "refusal"})

# Strings whose value is one of a closed set, checked or echoed by the upstream, hold no text of anybody's.
_CLOSED = frozenset({"role", "type", "finish_reason", "object", "detail", "format", "service_tier", "reasoning_effort"})
_CHANNELS = {
    "content": "content",
    "text": "content",
    "refusal": "refusal",
    "reasoning_content": "reasoning",
    "reasoning": "reasoning",
    "thinking": "reasoning",
    "arguments": "arguments",
    "transcript": "content",
}

Key = tuple[int, Path]
"""Which text of a stream a delta continues: the choice's index and the path inside it."""


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of text in a streamed chunk: what it continues, where in the chunk it stands, and itself."""

    key: Key
    path: Path
    text: str
    channel: str


# Requests


def read(raw: bytes) -> dict[str, Any]:
    """The request that `raw` spells. Raises `RequestError` (400) or `Unprocessable` (422), naming the field."""
    body = json_body.read(raw)
    _expect(body, "model", str)
    _expect(body, "messages", list)
    if not body["model"]:
        raise RequestError("'model' is empty; name one of GET /v1/models.", param="model")
    if not body["messages"]:
        raise RequestError("'messages' is empty; send at least one message.", param="messages")
    for index, message in enumerate(body["messages"]):
        _check_message(message, f"messages[{index}]")
    _check_switches(body)
    return body


def _expect(body: dict[str, Any], key: str, kind: type) -> None:
    if key not in body:
        raise RequestError(f"'{key}' is missing.", param=key)
    if not isinstance(body[key], kind):
        want = "a string" if kind is str else "an array"
        raise RequestError(f"'{key}' must be {want}, not {json_body.name_of(body[key])}.", param=key)


def _check_message(message: Any, at: str) -> None:
    if not isinstance(message, dict):
        raise RequestError(f"'{at}' must be an object, not {json_body.name_of(message)}.", param=at)
    if message.get("role") not in ROLES:
        raise RequestError(f"'{at}.role' must be one of {', '.join(sorted(ROLES))}.", param=f"{at}.role")
    content = message.get("content")
    if isinstance(content, list):
        for index, part in enumerate(content):
            _check_part(part, f"{at}.content[{index}]")
    elif content is not None and not isinstance(content, str):
        want = "a string or an array of parts"
        raise RequestError(f"'{at}.content' must be {want}, not {json_body.name_of(content)}.", param=f"{at}.content")


def _check_part(part: Any, at: str) -> None:
    if not isinstance(part, dict):
        raise RequestError(f"'{at}' must be an object, not {json_body.name_of(part)}.", param=at)
    if part.get("type") not in PARTS:
        raise Unprocessable(f"'{at}.type' must be one of {', '.join(sorted(PARTS))}.", param=f"{at}.type")


def _check_switches(body: dict[str, Any]) -> None:
    stream = body.get("stream")
    if not (stream is None or isinstance(stream, bool)):
        raise RequestError(f"'stream' must be true or false, not {json_body.name_of(stream)}.", param="stream")
    options = body.get("stream_options")
    if not (options is None or isinstance(options, dict)):
        raise RequestError("'stream_options' must be an object.", param="stream_options")


def prompts(body: dict[str, Any]) -> list[Passage]:
    """Every text of a request, in order: all roles and turns, content parts, tools, tool calls, unknown fields."""
    return [
        Passage(path, _role(body, path), "input", text, _channel(path))
        for path, text in json_body.strings(body)
        if text and path[-1] not in _CLOSED and path != ("model",)
    ]


def _role(body: dict[str, Any], path: Path) -> str:
    if path[0] == "messages":
        role = body["messages"][path[1]].get("role")
        return role if isinstance(role, str) else ""
    return ""


def _channel(path: Path) -> str:
    if path[0] in {"tools", "functions"}:
        return "tool"
    last = next((step for step in reversed(path) if isinstance(step, str)), "")
    return _CHANNELS.get(last, "field")


def asks_usage(body: dict[str, Any]) -> bool:
    """Whether the client wants the usage of a stream."""
    options = body.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True


def with_usage(raw: bytes, body: dict[str, Any]) -> bytes:
    """`raw` asking for the stream's usage as well."""
    return json_body.spliced(raw, body, "stream_options", {**(body.get("stream_options") or {}), "include_usage": True})


def question(body: dict[str, Any]) -> str:
    """The text of the last user message."""
    for message in reversed(body["messages"]):
        if message.get("role") == "user":
            return "\n".join(_texts(message.get("content")))
    return ""


def context(body: dict[str, Any], sources: frozenset[str]) -> list[str]:
    """What the request marks as evidence: `documents`, and messages of the roles in `sources`."""
    texts: list[str] = []
    for message in body["messages"]:
        role = "system" if message.get("role") == "developer" else message.get("role")
        if role in sources:
            texts += _texts(message.get("content"))
    if "documents" in sources:
        texts += (text for _, text in json_body.strings(body.get("documents") or []))
    return texts


def _texts(content: Any) -> list[str]:
    if isinstance(content, str):
        return [content] if content else []
    parts = content if isinstance(content, list) else []
    return [part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str)]


# Answers


def answers(body: dict[str, Any]) -> list[tuple[Key, Passage]]:
    """Every text of an unstreamed answer, keyed as its streamed twin would be."""
    found: list[tuple[Key, Passage]] = []
    for path, text in _answer_strings(body):
        passage = Passage(path, "assistant", "output", text, _channel(path))
        found.append((_key(body, path, "message"), passage))
    return found


def deltas(chunk: dict[str, Any]) -> list[Delta]:
    """Every text of a streamed chunk."""
    return [Delta(_key(chunk, path, "delta"), path, text, _channel(path)) for path, text in _answer_strings(chunk)]


def _answer_strings(body: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    """Strings of an answer that may be text; ids and closed sets are not. Source: OpenAI's chat object."""
    for path, text in json_body.strings(body):
        if text and path[-1] not in _CLOSED and not _is_label(path):
            yield path, text


def _is_label(path: Path) -> bool:
    """`id`, `model` and the like name the answer itself, and a tool call's `id` the call."""
    return (len(path) == 1 and path[0] in {"id", "model", "system_fingerprint"}) or (
        path[-1] == "id" and "tool_calls" in path
    )


def _key(body: dict[str, Any], path: Path, holder: str) -> Key:
    """The choice a text belongs to and its path therein, with positions replaced by the `index` they state.

    Arrays in a stream are sparse: a chunk may carry only the second tool call of the third choice.
    """
    steps: list[str | int] = []
    value: Any = body
    for step in path:
        value = value[step]
        stated = value.get("index") if isinstance(step, int) and isinstance(value, dict) else None
        steps.append(stated if isinstance(stated, int) else step)
    if steps[0] == "choices" and len(steps) > 2 and isinstance(steps[1], int):
        inner = steps[3:] if steps[2] == holder else ["", *steps[2:]]
        return steps[1], tuple(inner)
    return -1, tuple(steps)


def finished(chunk: dict[str, Any]) -> list[int]:
    """Choices that end with this chunk."""
    choices = chunk.get("choices")
    found = choices if isinstance(choices, list) else []
    return [c.get("index", 0) for c in found if isinstance(c, dict) and c.get("finish_reason") is not None]


def finish_reason(body: dict[str, Any]) -> str:
    """Why the first choice that says so ended, or the empty string."""
    choices = body.get("choices")
    for choice in choices if isinstance(choices, list) else []:
        if isinstance(choice, dict) and isinstance(choice.get("finish_reason"), str):
            return str(choice["finish_reason"])
    return ""


def usage(body: dict[str, Any]) -> Counts | None:
    """What an answer or a chunk says of its tokens."""
    return counts(body.get("usage"))


def only_usage(chunk: dict[str, Any]) -> bool:
    """Whether a chunk carries usage and nothing else: the one that `include_usage` adds."""
    return chunk.get("choices") == [] and isinstance(chunk.get("usage"), dict)


def without_logprobs(chunk: dict[str, Any]) -> dict[str, Any]:
    """`chunk` without token logprobs, which would spell out what a redaction took away."""
    choices = [{**c, "logprobs": None} if c.get("logprobs") else c for c in chunk.get("choices", [])]
    return {**chunk, "choices": choices} if "choices" in chunk else chunk


def refusal(last: dict[str, Any] | None, error: dict[str, Any]) -> bytes:
    """The end of a stream that a policy cut: a chunk that finishes every open choice, the error, `[DONE]`.

    `last` is the newest chunk seen, for its id and model; `error` the body of OpenAI's envelope.
    """
    chunk: dict[str, Any] = {"id": "", "object": "chat.completion.chunk", "created": 0, "model": ""}
    chunk |= {key: last[key] for key in chunk if last and key in last}
    chunk["choices"] = [{"index": 0, "delta": {}, "finish_reason": "content_filter"}]
    return sse.encoded(orjson.dumps({**chunk, "error": error})) + sse.encoded(sse.DONE)
