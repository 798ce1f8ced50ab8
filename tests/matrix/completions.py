"""`/v1/completions` in the matrix."""

from __future__ import annotations

from matrix import chat
from matrix.adapter import Adapter, Channel, Json, Line, Said, Shape

SHAPES = {
    "string": Shape(lambda t: {"prompt": t}),
    "list": Shape(lambda t: {"prompt": ["The tide", t]}),
    "suffix": Shape(lambda t: {"suffix": t}),
    "stop": Shape(lambda t: {"stop": t}),
    "stop-list": Shape(lambda t: {"stop": ["\n\n", t]}),
    "user": Shape(lambda t: {"user": t}),
    "logit-bias-name": Shape(lambda t: {"logit_bias": {t: 10}}),
    "unknown-top": Shape(lambda t: {"x_extra": t}),
    "unknown-top-list": Shape(lambda t: {"documents": [[{"text": t}], 1, None]}),
    "unknown-top-name": Shape(lambda t: {t: 1}),
}


def body(shape: Shape, role: str, text: str, turn: str, *, stream: bool) -> Json:
    return {"model": "m", "prompt": "How high?", "stream": stream, **shape.put(text)}


def _scores(tokens: list[str], rivals: list[dict[str, float]]) -> Json:
    return {"logprobs": {"tokens": tokens, "token_logprobs": [-0.5] * len(tokens), "top_logprobs": rivals}}


CHANNELS: dict[str, Channel | Line] = {
    "content": Channel(lambda t: {"text": t}, "choice"),
    "logprobs": Channel(lambda t: _scores([t], []), "choice"),
    "logprobs-tokens": Channel(lambda t: _scores(list(t), []), "choice"),
    "top-logprobs": Channel(lambda t: _scores([], [{t: -1.0}]), "choice"),
    "choice-unknown": Channel(lambda t: {"x_note": t}, "choice", grows=False),
    "choice-message": Channel(lambda t: {"message": {"content": t}}, "choice"),
    "finish-reason": Channel(lambda t: {"finish_reason": t}, "choice", grows=False),
    **{name: chat.CHANNELS[name] for name in ("error", "top-unknown", "comment", "event-name", "no-json")},
}
_HEAD = {"id": "cmpl-1", "object": "text_completion", "created": 1_700_000_000, "model": "scripted"}


def whole(said: Said) -> Json:
    assert isinstance(said.channel, Channel)
    text = "".join(said.pieces)
    answer = {**_HEAD, "choices": _choices(said, {}), "usage": {"prompt_tokens": 5, "completion_tokens": 5}}
    if said.channel.of == "answer":
        return {**answer, **said.channel.put(text)}
    return {**answer, "choices": _choices(said, said.channel.put(text))}


def chunks(said: Said) -> list[Json | bytes]:
    out: list[Json | bytes] = []
    for piece in said.pieces:
        if isinstance(said.channel, Line):
            out.append(said.channel.put(piece))
        elif said.channel.of == "answer":
            out.append({**_HEAD, "choices": [], **said.channel.put(piece)})
        else:
            out.append({**_HEAD, "choices": _choices(said, {"finish_reason": None, **said.channel.put(piece)})})
    return [*out, {**_HEAD, "choices": _choices(said, {})}]


def _choices(said: Said, mine: Json) -> list[Json]:
    """Those before the one with the text say something else."""
    last = int(said.choice)
    others = [{"index": n, "text": "tide ", "logprobs": None, "finish_reason": "stop"} for n in range(last)]
    return [*others, {"index": last, "text": "", "logprobs": None, "finish_reason": "stop", **mine}]


ADAPTER = Adapter(
    "/v1/completions", SHAPES, body, channels=CHANNELS, choices=("0", "1", "3"), whole=whole, chunks=chunks
)
