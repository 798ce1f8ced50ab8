"""What a model's server says: OpenAI-shaped bodies, and the scripts that send them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from support.script import Headers, Script, Seen, Send, Step, Wait, chunk, head

JSON = ("content-type", "application/json")
SSE = ("content-type", "text/event-stream; charset=utf-8")
DONE = b"data: [DONE]\n\n"


def answer(body: bytes | str | dict[str, Any] | list[Any], status: int = 200, headers: Headers = (JSON,)) -> Script:
    """A whole answer with its length. What is not bytes or text is sent as JSON."""
    raw = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
    return Script((Send(head(status, [*headers, ("content-length", str(len(raw)))]) + raw),))


def stream(parts: Sequence[bytes], delay: float = 0.0, headers: Headers = (SSE,)) -> Script:
    """A chunked answer: each part is one HTTP chunk and one write, `delay` seconds after the one before it."""
    return Script((*opened(headers), *sent(parts, delay), Send(chunk(b""))))


def opened(headers: Headers = (SSE,)) -> tuple[Step, ...]:
    """The head of a chunked answer."""
    return (Send(head(200, [*headers, ("transfer-encoding", "chunked")])),)


def sent(parts: Iterable[bytes], delay: float = 0.0) -> tuple[Step, ...]:
    """Parts of a chunked body, without its end."""
    return tuple(step for part in parts for step in (Send(chunk(part)), Wait(delay)))


def event(data: Any) -> bytes:
    """One server-sent event; what is not text is sent as JSON."""
    text = data if isinstance(data, str) else json.dumps(data, separators=(",", ":"))
    return f"data: {text}\n\n".encode()


def completion(text: str, model: str = "scripted", **more: Any) -> dict[str, Any]:
    """A `chat.completion` of one choice. `more` replaces or adds top-level fields."""
    words = len(text.split())
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": model,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": usage(5, words),
        **more,
    }


def usage(prompt: int, answered: int) -> dict[str, int]:
    return {"prompt_tokens": prompt, "completion_tokens": answered, "total_tokens": prompt + answered}


def delta(text: str | None = None, finish: str | None = None, model: str = "scripted", **more: Any) -> dict[str, Any]:
    """A `chat.completion.chunk` of one choice. `more` goes into its delta."""
    content = {} if text is None else {"content": text}
    choice = {"index": 0, "delta": {**content, **more}, "finish_reason": finish}
    return {**_chunk(model), "choices": [choice]}


def deltas(texts: Iterable[str], model: str = "scripted", counted: bool = False) -> list[bytes]:
    """A whole chat stream as events: role, each text, finish, usage where `counted`, `[DONE]`."""
    said = list(texts)
    bodies = [delta("", model=model, role="assistant"), *(delta(text, model=model) for text in said)]
    bodies.append(delta(finish="stop", model=model))
    if counted:
        bodies.append({**_chunk(model), "choices": [], "usage": usage(5, len(said))})
    return [*map(event, bodies), DONE]


def _chunk(model: str) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": model}


def echo(seen: Seen) -> Script:
    """Say the last message or prompt back, streamed word by word if asked, with usage if asked."""
    asked = seen.json() if seen.body else {}
    model = asked.get("model", "scripted")
    text = _last(asked)
    if seen.target.endswith("/embeddings"):
        return answer(_embeddings(asked, model))
    if seen.target.endswith("/completions") and asked.get("stream"):
        counted = bool((asked.get("stream_options") or {}).get("include_usage"))
        return stream(deltas(_words(text), model, counted))
    if seen.target.endswith("/completions"):
        return answer(completion(text, model))
    return answer({"error": {"message": "no such endpoint", "type": "invalid_request_error"}}, 404)


def _last(asked: dict[str, Any]) -> str:
    content = (asked.get("messages") or [{}])[-1].get("content") or asked.get("prompt") or ""
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content if isinstance(part, dict))
    return str(content)


def _words(text: str) -> list[str]:
    """Words with the space before them: they join to the text they came from."""
    first, *others = text.split(" ")
    return [first, *(f" {word}" for word in others)]


def _embeddings(asked: dict[str, Any], model: str) -> dict[str, Any]:
    given = asked.get("input", "")
    texts = given if isinstance(given, list) else [given]
    data = [{"object": "embedding", "index": i, "embedding": [float(len(str(t))), 1.0]} for i, t in enumerate(texts)]
    return {"object": "list", "data": data, "model": model, "usage": {"prompt_tokens": 5, "total_tokens": 5}}
