"""A scripted model that speaks what official clients use of OpenAI's protocol: tools, choices, logprobs, JSON."""

from __future__ import annotations

import struct
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

from support.answers import DONE, answer, completion, event, stream, usage
from support.script import Script, Seen

FORBIDDEN = "umbrella"
"""A word that the suites' policy forbids."""

CUT = "It may rain again this evening, so take an "
"""What may be said before the word."""

PAUSE_S = 0.02
SAYS = "The tide comes in at noon, and goes out again at six."
ARGUMENTS = '{"city":"Paris","unit":"celsius"}'
LOGPROB = -0.25


def speak(seen: Seen) -> Script:
    """Answer what was asked, in the shape it was asked for; `say …` in the last message is said literally."""
    asked = seen.json()
    if asked["model"] == "busy":
        error = {"message": "slow down", "type": "rate_limit", "param": None, "code": "rate_limit_exceeded"}
        return answer({"error": error}, 429, [("content-type", "application/json"), ("retry-after", "1")])
    if asked["model"] == "plain" and "messages" not in asked:
        return answer({"detail": "Not Found"}, 404)
    if seen.target.endswith("/embeddings"):
        return answer(vectors(asked))
    if "prompt" in asked:
        return continued(asked)
    if asked.get("stream"):
        return stream([*map(event, chunks(asked)), DONE], PAUSE_S)
    choices = [{"index": n, "finish_reason": finish(asked), **whole(asked)} for n in range(asked.get("n", 1))]
    return answer(completion("", choices=choices, model=asked["model"]))


def text(asked: dict[str, Any]) -> str:
    said = asked["messages"][-1].get("content")
    if asked.get("response_format"):
        return '{"city":"Paris","degrees":21}'
    return said.removeprefix("say ") if isinstance(said, str) and said.startswith("say ") else SAYS


def finish(asked: dict[str, Any]) -> str:
    return "tool_calls" if asked.get("tools") else "stop"


def whole(asked: dict[str, Any]) -> dict[str, Any]:
    """The message of one choice, and its log-probabilities if asked for."""
    if asked.get("tools"):
        function = {"name": asked["tools"][0]["function"]["name"], "arguments": ARGUMENTS}
        call = {"id": "call_1", "type": "function", "function": function}
        return {"message": {"role": "assistant", "content": None, "tool_calls": [call]}}
    message = {"message": {"role": "assistant", "content": text(asked), "refusal": None}}
    return message | ({"logprobs": logprobs(text(asked))} if asked.get("logprobs") else {})


def logprobs(said: str) -> dict[str, Any]:
    return {"content": [_token(word) for word in words(said)], "refusal": None}


def _token(word: str) -> dict[str, Any]:
    return {"token": word, "logprob": LOGPROB, "bytes": list(word.encode()), "top_logprobs": []}


def words(said: str) -> list[str]:
    first, *others = said.split(" ")
    return [first, *(f" {word}" for word in others)]


def chunks(asked: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The stream of one answer, choice by choice within each step, usage at the end if asked for."""
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": asked["model"]}
    choices = range(asked.get("n", 1))
    for part in (*parts(asked), {"delta": {}, "finish_reason": finish(asked)}):
        for n in choices:
            yield {**head, "choices": [{"index": n, "finish_reason": None, **part}]}
    if (asked.get("stream_options") or {}).get("include_usage"):
        yield {**head, "choices": [], "usage": usage(5, 9)}


def parts(asked: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield {"delta": {"role": "assistant", "content": None if asked.get("tools") else ""}}
    if asked.get("tools"):
        yield from ({"delta": {"tool_calls": [call]}} for call in _calls(asked))
        return
    for word in words(text(asked)):
        yield {"delta": {"content": word}} | (
            {"logprobs": {"content": [_token(word)]}} if asked.get("logprobs") else {}
        )


def _calls(asked: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A tool call as it streams: who is called first, then the arguments in pieces that split words."""
    name = asked["tools"][0]["function"]["name"]
    yield {"index": 0, "id": "call_1", "type": "function", "function": {"name": name, "arguments": ""}}
    for at in range(0, len(ARGUMENTS), 5):
        yield {"index": 0, "function": {"arguments": ARGUMENTS[at : at + 5]}}


def vectors(asked: dict[str, Any]) -> dict[str, Any]:
    """One small vector a text; packed where that was asked for, as official clients do unless they are told not to."""
    texts = [asked["input"]] if isinstance(asked["input"], str) else asked["input"]
    made = [[float(len(text)), 0.5, -0.25] for text in texts]
    packed = asked.get("encoding_format") == "base64"
    values = [b64encode(struct.pack("<3f", *vector)).decode() for vector in made] if packed else made
    data = [{"object": "embedding", "index": n, "embedding": value} for n, value in enumerate(values)]
    return {"object": "list", "data": data, "model": asked["model"], "usage": {"prompt_tokens": 7, "total_tokens": 7}}


def continued(asked: dict[str, Any]) -> Script:
    """How a text goes on; `say …` is literal here too."""
    given = asked["prompt"]
    said = given.removeprefix("say ") if isinstance(given, str) and given.startswith("say ") else SAYS
    head = {"id": "cmpl-1", "object": "text_completion", "created": 1_700_000_000, "model": asked["model"]}
    if not asked.get("stream"):
        choice = {"index": 0, "text": said, "logprobs": None, "finish_reason": "stop"}
        return answer({**head, "choices": [choice], "usage": usage(5, 9)})
    ends = [(word, None) for word in words(said)] + [("", "stop")]
    told = [
        {**head, "choices": [{"index": 0, "text": text, "logprobs": None, "finish_reason": end}]} for text, end in ends
    ]
    if (asked.get("stream_options") or {}).get("include_usage"):
        told.append({**head, "choices": [], "usage": usage(5, 9)})
    return stream([*map(event, told), DONE], PAUSE_S)
