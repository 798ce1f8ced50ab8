"""`/v1/chat/completions`: which of its strings are text, where the text of a streamed chunk belongs, what a refusal
looks like. Knows the shapes of OpenAI's chat API and nothing of who judges or answers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from gateway.errors import RequestError, Unprocessable
from gateway.wire import body as json_body
from gateway.wire import sse
from gateway.wire.passage import Passage, Path
from gateway.wire.usage import Counts, counts
from gateway.wire.words import FIELDS, LABELS, PARTS, ROLES, SCHEMA_TYPES

ENDPOINT = "/chat/completions"

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

FIRST: Key = (0, ("content",))
"""What the model says in its first choice."""


class Delta(NamedTuple):
    """A text in a streamed chunk: where it stands there, what kind it is, and itself.

    `key` says which text of the stream it continues; None is for one that stands for itself.
    """

    key: Key | None
    path: Path
    text: str
    channel: str


# Requests


def read(raw: bytes) -> dict[str, Any]:
    """The request that `raw` spells. Raises `RequestError` (400) or `Unprocessable` (422), naming the field."""
    return checked(json_body.read(raw))


def checked(body: dict[str, Any]) -> dict[str, Any]:
    """`body`, a request that was read already. Raises as `read` does."""
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
    if not _one_of(ROLES, message.get("role")):
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
    if not _one_of(PARTS, part.get("type")):
        raise Unprocessable(f"'{at}.type' must be one of {', '.join(sorted(PARTS))}.", param=f"{at}.type")
    if part["type"] == "text" and not isinstance(part.get("text"), str):
        raise RequestError(f"'{at}.text' must be a string.", param=f"{at}.text")


def _one_of(words: frozenset[str], value: Any) -> bool:
    return isinstance(value, str) and value in words


def _check_switches(body: dict[str, Any]) -> None:
    stream = body.get("stream")
    if not (stream is None or isinstance(stream, bool)):
        raise RequestError(f"'stream' must be true or false, not {json_body.name_of(stream)}.", param="stream")
    options = body.get("stream_options")
    if not (options is None or isinstance(options, dict)):
        want = f"an object, not {json_body.name_of(options)}"
        raise RequestError(f"'stream_options' must be {want}.", param="stream_options")


def prompts(body: dict[str, Any]) -> list[Passage]:
    """Every text of a request, in order: all roles and turns, content parts, tools, tool calls, unknown fields.

    Names of fields that OpenAI's API does not have may be text as well; they are one passage, the last.
    """
    found = [
        Passage(path, _role(body, path), "input", text, _channel(path))
        for path, text in json_body.strings(body)
        if text and not _asks_by_word(path, text)
    ]
    names = sorted(json_body.keys(body) - FIELDS)
    if names:
        found.append(Passage((), "", "input", "\n".join(names), "field"))
    return found


def _asks_by_word(path: Path, text: str) -> bool:
    """Whether a string is a word that the API defines in that place; the model's name was found in our own table."""
    last = path[-1]
    if last == "type" and path[0] in {"tools", "functions", "response_format"} and text in SCHEMA_TYPES:
        return True
    return path == ("model",) or (last in _ASKED and text in LABELS.get(_shape(path), ()))


def _shape(path: Path) -> Path:
    return tuple([step for step in path if type(step) is str])


_ASKED = frozenset(shape[-1] for shape in LABELS)


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
        texts += (text for _, text in json_body.strings(body.get("documents")))
    return texts


def _texts(content: Any) -> list[str]:
    if isinstance(content, str):
        return [content] if content else []
    parts = content if isinstance(content, list) else []
    return [part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str)]


# Answers


def deltas(body: dict[str, Any]) -> list[Delta]:
    """Every text of a streamed chunk, or of an unstreamed answer, keyed alike. Raises `Unreadable`."""
    found: list[Delta] = []
    for name, value in body.items():
        if name == "choices" and type(value) is list:
            for place, choice in enumerate(value):
                found += _of_choice(body, place, choice)
        elif type(value) is str:
            if value and not _names_it(name, value):
                found.append(Delta(None, (name,), value, _CHANNELS.get(name, "field")))
        elif value is not None:
            found += _below(body, (name,), value)
    return found


def _of_choice(body: dict[str, Any], place: int, choice: Any) -> list[Delta]:
    """What nearly every chunk of a stream consists of is read here; the rest is walked."""
    found: list[Delta] = []
    index = choice.get("index") if type(choice) is dict else None
    if type(index) is not int:
        return _below(body, ("choices", place), choice)
    for part, value in choice.items():
        if part in _MESSAGES and type(value) is dict:
            for field, text in value.items():
                if type(text) is not str:
                    found += _below(body, ("choices", place, part, field), text) if text is not None else ()
                elif text and not (field == "role" and text in ROLES):
                    channel = _CHANNELS.get(field, "field")
                    found.append(Delta((index, (field,)), ("choices", place, part, field), text, channel))
        elif value is not None and part != "index":
            found += _below(body, ("choices", place, part), value)
    return found


def _below(body: dict[str, Any], path: Path, value: Any) -> list[Delta]:
    return [
        Delta(_key(body, path), path, text, _channel(path))
        for path, text in json_body.strings(value, path)
        if text and not _is_label(path, text)
    ]


# Names that the upstream's server gives to things, one word each; no model writes them.
_IDENTIFIERS = frozenset(
    {
        ("id",),
        ("model",),
        ("system_fingerprint",),
        ("obfuscation",),
        ("choices", "delta", "tool_calls", "id"),
        ("choices", "message", "tool_calls", "id"),
    }
)
_IDENTIFIER = re.compile(r"[\w.:/@+=-]{1,256}", re.ASCII)
_IDENTIFIER_BYTES = re.compile(_IDENTIFIER.pattern.encode())
_LABELLED = _ASKED | {shape[-1] for shape in _IDENTIFIERS}
_NAMES = frozenset(shape[0] for shape in _IDENTIFIERS if len(shape) == 1)


def _names_it(name: str, text: str) -> bool:
    """`_is_label` for a field of the answer itself."""
    if name in _NAMES:
        return _IDENTIFIER.fullmatch(text) is not None
    return name in _LABELLED and text in LABELS.get((name,), ())


def is_identifier(spelt: bytes) -> bool:
    """Whether it is a name that a server gives to things, such as no model writes."""
    return _IDENTIFIER_BYTES.fullmatch(spelt) is not None


def _is_label(path: Path, text: str) -> bool:
    """Whether a string is a word of the API in its place, or an identifier in its place."""
    if path[-1] not in _LABELLED:
        return False
    shape = _shape(path)
    return text in LABELS.get(shape, ()) or (shape in _IDENTIFIERS and _IDENTIFIER.fullmatch(text) is not None)


_MESSAGES = frozenset({"delta", "message"})
_GROWING = _MESSAGES | {"text", "logprobs"}
"""Parts of a choice whose texts go on from chunk to chunk."""


def _key(body: dict[str, Any], path: Path) -> Key | None:
    """The choice a text belongs to and its path therein, with positions replaced by the `index` they state.

    Arrays in a stream are sparse: a chunk may carry only the second tool call of the third choice. Tokens with their
    probabilities, one string each, make up one text. What is in no message stands for itself.
    """
    if len(path) < 3 or path[0] != "choices" or path[2] not in _GROWING:
        return None
    steps: list[str | int] = []
    value: Any = body
    for step in path:
        value = value[step]
        stated = value.get("index") if type(step) is int and type(value) is dict else None
        steps.append(stated if type(stated) is int else step)
    if type(steps[1]) is not int:
        return None
    rest = tuple(steps[2:])
    return steps[1], rest[1:] if rest[0] in _MESSAGES else _shape(rest)


def choices(body: dict[str, Any]) -> list[tuple[int, Any]]:
    """The choices that an answer or a chunk is about: index, and what it says of why they ended."""
    found = body.get("choices")
    if type(found) is not list:
        return []
    return [(c["index"], c.get("finish_reason")) for c in found if type(c) is dict and type(c.get("index")) is int]


def finish_word(reason: Any) -> str:
    """Why a choice ended, in OpenAI's word for it or `other`."""
    return reason if _one_of(LABELS["choices", "finish_reason"], reason) else "other"


def model(body: dict[str, Any]) -> str:
    """The model as the upstream names it, if that is a name."""
    name = body.get("model")
    return name if isinstance(name, str) and _IDENTIFIER.fullmatch(name) else ""


def usage(body: dict[str, Any]) -> Counts | None:
    """What an answer or a chunk says of its tokens."""
    return counts(body.get("usage"), body.get("service_tier"))


def only_usage(chunk: dict[str, Any]) -> bool:
    """Whether a chunk carries usage and nothing else: the one that `include_usage` adds."""
    return chunk.get("choices") == [] and isinstance(chunk.get("usage"), dict)


def failed(body: dict[str, Any]) -> bool:
    """Whether an answer or a chunk is an error instead of an answer."""
    return "error" in body and bool(body["error"]) and not body.get("choices")


def without_logprobs(chunk: dict[str, Any]) -> dict[str, Any]:
    """`chunk` without token logprobs, which would spell out what a redaction took away."""
    choices = chunk.get("choices")
    if not isinstance(choices, list):
        return chunk
    return {**chunk, "choices": [{**c, "logprobs": None} if _has_logprobs(c) else c for c in choices]}


def _has_logprobs(choice: Any) -> bool:
    return isinstance(choice, dict) and bool(choice.get("logprobs"))


def refusal(last: dict[str, Any] | None, choices: Iterable[int], error: dict[str, Any], spent: Any) -> bytes:
    """The end of a stream that a policy cut: a chunk that finishes every open choice, with the error; `[DONE]`.

    `last` is the newest chunk seen, for its id and model; `error` the inside of OpenAI's envelope; `spent` the usage
    as far as the upstream told it.
    """
    chunk: dict[str, Any] = {"id": "", "object": "chat.completion.chunk", "created": 0, "model": ""}
    chunk |= {key: last[key] for key in chunk if last and key in last}
    chunk["choices"] = [{"index": i, "delta": {}, "finish_reason": "content_filter"} for i in choices]
    chunk |= {"usage": spent} if spent else {}
    return sse.encoded(json_body.encoded({**chunk, "error": error})) + sse.encoded(sse.DONE)


def failure(error: dict[str, Any]) -> bytes:
    """The end of a stream that broke: the error, `[DONE]`."""
    return sse.encoded(json_body.encoded({"error": error})) + sse.encoded(sse.DONE)
