"""`/v1/embeddings`: texts in, vectors out. Source: the types of OpenAI's Python SDK 2.54."""

from __future__ import annotations

import re
from typing import Any

from gateway.wire import body as json_body
from gateway.wire.chat import Delta, failed, model, usage
from gateway.wire.fields import Fields, texts
from gateway.wire.passage import Passage, Path

__all__ = ["ENDPOINT", "deltas", "failed", "model", "prompts", "read", "usage"]

ENDPOINT = "/embeddings"

_FIELDS = frozenset({"model", "input", "dimensions", "encoding_format", "user"})
_WORDS = {("object",): {"list"}, ("data", "object"): {"embedding"}}
_NUMBERS = {int, float}
_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}")


def read(raw: bytes) -> dict[str, Any]:
    """The request that `raw` spells. Raises `RequestError` (400) or `Unprocessable` (422), naming the field."""
    body = json_body.read(raw)
    fields = Fields(body)
    fields.model()
    texts(body, "input")
    return body


def prompts(body: dict[str, Any]) -> list[Passage]:
    """Every text of a request, in order; inputs are what the user says. Names of unknown fields are the last."""
    found = [_passage(path, text) for path, text in json_body.strings(body) if text and not _asks_by_word(path, text)]
    names = sorted(json_body.keys(body) - _FIELDS)
    return [*found, Passage((), "", "input", "\n".join(names), "field")] if names else found


def _asks_by_word(path: Path, text: str) -> bool:
    return path == ("model",) or (path == ("encoding_format",) and text in {"float", "base64"})


def _passage(path: Path, text: str) -> Passage:
    if path[0] == "input":
        return Passage(path, "user", "input", text)
    return Passage(path, "", "input", text, "field")


def deltas(body: dict[str, Any]) -> list[Delta]:
    """Whatever text an answer holds: none, where the upstream keeps to the API. Raises `Unreadable`."""
    found = json_body.strings(_without_vectors(body))
    return [Delta(None, path, text, "field") for path, text in found if text and not _is_label(body, path, text)]


def _is_label(body: dict[str, Any], path: Path, text: str) -> bool:
    if path == ("model",):
        return bool(model(body))
    return text in _WORDS.get(tuple(step for step in path if isinstance(step, str)), ())


def _without_vectors(body: dict[str, Any]) -> dict[str, Any]:
    """`body` without what is nothing but numbers: there are thousands in each."""
    data = body.get("data")
    if not isinstance(data, list):
        return body
    return {**body, "data": [_without_vector(item) if isinstance(item, dict) else item for item in data]}


def _without_vector(item: dict[str, Any]) -> dict[str, Any]:
    vector = item.get("embedding")
    if isinstance(vector, list):
        return {**item, "embedding": None} if _NUMBERS.issuperset(map(type, vector)) else item
    packed = isinstance(vector, str) and len(vector) % 4 == 0 and _BASE64.fullmatch(vector)
    return {**item, "embedding": None} if packed else item
