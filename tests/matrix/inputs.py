"""`/v1/embeddings` and `/v1/moderations` in the matrix: their answers say nothing."""

from __future__ import annotations

from collections.abc import Mapping

from matrix.adapter import Adapter, Json, Said, Shape

_INPUTS = {
    "string": Shape(lambda t: {"input": t}),
    "list": Shape(lambda t: {"input": ["The tide", t]}),
    "first-of-many": Shape(lambda t: {"input": [t, *map(str, range(50))]}),
}

EMBEDDED: Mapping[str, Shape] = {
    **_INPUTS,
    "user": Shape(lambda t: {"user": t}),
    "encoding-format": Shape(lambda t: {"encoding_format": t}),
    "unknown-top": Shape(lambda t: {"x_extra": t}),
    "unknown-top-list": Shape(lambda t: {"documents": [[{"text": t}], 1, None]}),
    "unknown-top-name": Shape(lambda t: {t: 1}),
}

JUDGED: Mapping[str, Shape] = {
    **_INPUTS,
    "part": Shape(lambda t: {"input": [{"type": "text", "text": t}]}),
    "second-part": Shape(lambda t: {"input": [{"type": "text", "text": "look"}, {"type": "text", "text": t}]}),
}


def body(shape: Shape, role: str, text: str, turn: str, *, stream: bool) -> Json:
    return {"model": "m", "input": "How high?", **shape.put(text)}


def vectors(_said: Said) -> Json:
    data = [{"object": "embedding", "index": 0, "embedding": [0.5, -0.25]}]
    return {"object": "list", "data": data, "model": "m", "usage": {"prompt_tokens": 5, "total_tokens": 5}}


EMBEDDINGS = Adapter("/v1/embeddings", EMBEDDED, body, whole=vectors, streams=False)
MODERATIONS = Adapter("/v1/moderations", JUDGED, body, streams=False)
