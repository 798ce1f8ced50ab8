"""`/v1/completions`: the wire of models that go on with a text. Its answers are read as chat answers are; what differs
stands here. Source: the types of OpenAI's Python SDK 2.54.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gateway.wire import body as json_body
from gateway.wire import chat, sse
from gateway.wire.chat import (
    Delta,
    Key,
    asks_usage,
    choices,
    failed,
    failure,
    finish_word,
    model,
    only_usage,
    usage,
    with_usage,
    without_logprobs,
)
from gateway.wire.fields import Fields, texts
from gateway.wire.passage import Passage, Path
from gateway.wire.words import FIELDS

__all__ = [
    "ENDPOINT",
    "FIRST",
    "asks_usage",
    "choices",
    "context",
    "deltas",
    "failed",
    "failure",
    "finish_word",
    "model",
    "only_usage",
    "prompts",
    "question",
    "read",
    "refusal",
    "usage",
    "with_usage",
    "without_logprobs",
]

ENDPOINT = "/completions"

FIRST: Key = (0, ("text",))
"""The text of the first choice."""

_FIELDS = FIELDS | {"prompt", "suffix", "echo", "best_of"}
_SAID = frozenset({"prompt", "suffix"})


# Requests


def read(raw: bytes) -> dict[str, Any]:
    """The request that `raw` spells. Raises `RequestError` (400) or `Unprocessable` (422), naming the field."""
    body = json_body.read(raw)
    fields = Fields(body)
    fields.model()
    texts(body, "prompt")
    fields.text("suffix")
    fields.switch("stream")
    fields.table("stream_options")
    return body


def prompts(body: dict[str, Any]) -> list[Passage]:
    """Every text of a request, in order; prompts and suffixes are what the user says.

    Names of fields that OpenAI's API does not have may be text as well; they are one passage, the last.
    """
    found = [_passage(path, text) for path, text in json_body.strings(body) if text and path != ("model",)]
    names = sorted(json_body.keys(body) - _FIELDS)
    return [*found, Passage((), "", "input", "\n".join(names), "field")] if names else found


def _passage(path: Path, text: str) -> Passage:
    if path[0] in _SAID:
        return Passage(path, "user", "input", text)
    return Passage(path, "", "input", text, "field")


def question(body: dict[str, Any]) -> str:
    """The prompts."""
    return "\n".join(texts(body, "prompt"))


def context(_body: dict[str, Any], _sources: frozenset[str]) -> list[str]:
    """None: a prompt does not say what of it is evidence."""
    return []


# Answers


def deltas(body: dict[str, Any]) -> list[Delta]:
    """Every text of a streamed chunk, or of an unstreamed answer, keyed alike. Raises `Unreadable`."""
    return [*(text for text in chat.deltas(body) if not _is_kind(text)), *_rivals(body)]


def _is_kind(text: Delta) -> bool:
    return text.path == ("object",) and text.text == "text_completion"


def _rivals(body: dict[str, Any]) -> list[Delta]:
    """Tokens that might have stood there, which are names of fields in `top_logprobs`.

    A text put in place of one leaves no log probabilities: `without_logprobs` takes all of them away then.
    """
    found: list[Delta] = []
    held = body.get("choices")
    for place, choice in enumerate(held if isinstance(held, list) else ()):
        scores = choice.get("logprobs") if isinstance(choice, dict) else None
        rivals = scores.get("top_logprobs") if isinstance(scores, dict) else None
        for at, tokens in enumerate(rivals if isinstance(rivals, list) else ()):
            if isinstance(tokens, dict) and (text := "".join(tokens)):
                index = choice.get("index")
                key = (index, ("logprobs", "top_logprobs")) if type(index) is int else None
                found.append(Delta(key, ("choices", place, "logprobs", "top_logprobs", at), text, "field"))
    return found


def refusal(last: dict[str, Any] | None, choices: Iterable[int], error: dict[str, Any], spent: Any) -> bytes:
    """The end of a stream that a policy cut: a chunk that finishes every open choice, with the error; `[DONE]`.

    `last` is the newest chunk seen, for its id and model; `error` the inside of OpenAI's envelope; `spent` the usage
    as far as the upstream told it.
    """
    chunk: dict[str, Any] = {"id": "", "object": "text_completion", "created": 0, "model": ""}
    chunk |= {key: last[key] for key in chunk if last and key in last}
    ended = {"text": "", "logprobs": None, "finish_reason": "content_filter"}
    chunk["choices"] = [{"index": i, **ended} for i in choices]
    chunk |= {"usage": spent} if spent else {}
    return sse.encoded(json_body.encoded({**chunk, "error": error})) + sse.encoded(sse.DONE)
