"""`/v1/chat/completions` in the matrix: every place of a request and of an answer that may carry text."""

from __future__ import annotations

import json
from typing import Any

from matrix.adapter import NO_ROLE, Adapter, Channel, Json, Line, Said, Shape

ROLES = ("system", "developer", "user", "assistant", "tool", "function")
_PIXEL = "data:image/png;base64,iVBORw0KGgo="
LONG = 200


def _parts(*parts: Json) -> Json:
    return {"content": list(parts)}


def _text(text: str, **more: Any) -> Json:
    return {"type": "text", "text": text, **more}


def _call(arguments: str, name: str = "look_up", ident: str = "call_1") -> Json:
    return {
        "content": None,
        "tool_calls": [{"id": ident, "type": "function", "function": {"name": name, "arguments": arguments}}],
    }


def _tool(**function: Any) -> Json:
    function = {"name": "look_up", "parameters": {"type": "object", "properties": {}}, **function}
    return {"tools": [{"type": "function", "function": function}]}


def _schema(**prop: Any) -> Json:
    return _tool(parameters={"type": "object", "properties": {"q": {"type": "string", **prop}}})


def _format(**schema: Any) -> Json:
    return {
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": {"type": "object"}, **schema},
        }
    }


def _dumped(text: str) -> str:
    return json.dumps({"q": text}, ensure_ascii=False)


SHAPES = {
    # messages
    "string": Shape(lambda t: {"content": t}, ROLES),
    "part": Shape(lambda t: _parts(_text(t)), ROLES),
    "second-part": Shape(lambda t: _parts(_text("look"), _text(t)), ROLES),
    "part-extra-key": Shape(lambda t: _parts(_text("look", cache_control={"note": t})), ROLES),
    "part-extra-name": Shape(lambda t: _parts(_text("look", **{t: 1})), ROLES),
    "image-url": Shape(
        lambda t: _parts({"type": "image_url", "image_url": {"url": f"https://127.0.0.1/{t}"}}), ("user",)
    ),
    "image-alt": Shape(lambda t: _parts({"type": "image_url", "image_url": {"url": _PIXEL, "alt": t}}), ("user",)),
    "image-detail": Shape(
        lambda t: _parts({"type": "image_url", "image_url": {"url": _PIXEL, "detail": t}}), ("user",)
    ),
    "audio-data": Shape(
        lambda t: _parts({"type": "input_audio", "input_audio": {"data": t, "format": "wav"}}), ("user",)
    ),
    "file-data": Shape(lambda t: _parts({"type": "file", "file": {"file_data": t, "filename": "a.txt"}}), ("user",)),
    "file-name": Shape(lambda t: _parts({"type": "file", "file": {"file_id": "file-1", "filename": t}}), ("user",)),
    "refusal-part": Shape(lambda t: _parts({"type": "refusal", "refusal": t}), ("assistant",)),
    "refusal": Shape(lambda t: {"content": None, "refusal": t}, ("assistant",)),
    "reasoning": Shape(lambda t: {"content": "so", "reasoning_content": t}, ("assistant",)),
    "audio-transcript": Shape(lambda t: {"content": None, "audio": {"id": "audio_1", "transcript": t}}, ("assistant",)),
    "nested-unknown": Shape(lambda t: {"content": "look", "x_context": {"deep": [[{"deeper": t}]]}}, ROLES),
    "unknown-field": Shape(lambda t: {"content": "look", "x_note": t}, ROLES),
    "unknown-name": Shape(lambda t: {"content": "look", "x_table": {t: True}}, ROLES),
    "name": Shape(lambda t: {"content": "look", "name": t}, ROLES),
    "arguments": Shape(lambda t: _call(_dumped(t)), ("assistant",)),
    "arguments-twice": Shape(lambda t: _call(json.dumps(_dumped(t), ensure_ascii=False)), ("assistant",)),
    "arguments-escaped": Shape(
        lambda t: _call("".join(f"\\u{ord(c):04x}" for c in t) if t.isascii() else _dumped(t)), ("assistant",)
    ),
    "arguments-no-json": Shape(lambda t: _call('{"q": "' + t), ("assistant",)),
    "call-name": Shape(lambda t: _call("{}", name=t), ("assistant",)),
    "call-id": Shape(lambda t: _call("{}", ident=t), ("assistant",)),
    "function-call": Shape(
        lambda t: {"content": None, "function_call": {"name": "f", "arguments": _dumped(t)}}, ("assistant",)
    ),
    "tool-result": Shape(lambda t: {"content": _dumped(t), "tool_call_id": "call_1"}, ("tool",)),
    "tool-call-id": Shape(lambda t: {"content": "look", "tool_call_id": t}, ("tool",)),
    # the rest of the body
    "tool-name": Shape(lambda t: _tool(name=t)),
    "tool-description": Shape(lambda t: _tool(description=t)),
    "schema-description": Shape(lambda t: _schema(description=t)),
    "schema-enum": Shape(lambda t: _schema(enum=["high", t])),
    "schema-default": Shape(lambda t: _schema(default=t)),
    "schema-name": Shape(lambda t: _tool(parameters={"type": "object", "properties": {t: {"type": "string"}}})),
    "schema-type": Shape(lambda t: _schema(type=t)),
    "custom-grammar": Shape(
        lambda t: {
            "tools": [
                {
                    "type": "custom",
                    "custom": {
                        "name": "g",
                        "format": {"type": "grammar", "grammar": {"definition": t, "syntax": "lark"}},
                    },
                }
            ]
        }
    ),
    "functions": Shape(lambda t: {"functions": [{"name": "f", "description": t, "parameters": {}}]}),
    "tool-choice": Shape(lambda t: {"tool_choice": {"type": "function", "function": {"name": t}}}),
    "format-schema": Shape(lambda t: _format(schema={"type": "object", "properties": {"q": {"description": t}}})),
    "format-name": Shape(lambda t: _format(name=t)),
    "format-description": Shape(lambda t: _format(description=t)),
    "prediction": Shape(lambda t: {"prediction": {"type": "content", "content": t}}),
    "prediction-part": Shape(lambda t: {"prediction": {"type": "content", "content": [_text(t)]}}),
    "metadata": Shape(lambda t: {"metadata": {"note": t}}),
    "metadata-name": Shape(lambda t: {"metadata": {t: "note"}}),
    "user": Shape(lambda t: {"user": t}),
    "safety-identifier": Shape(lambda t: {"safety_identifier": t}),
    "cache-key": Shape(lambda t: {"prompt_cache_key": t}),
    "stop": Shape(lambda t: {"stop": t}),
    "stop-list": Shape(lambda t: {"stop": ["\n\n", t]}),
    "logit-bias-name": Shape(lambda t: {"logit_bias": {t: 10}}),
    "service-tier": Shape(lambda t: {"service_tier": t}),
    "reasoning-effort": Shape(lambda t: {"reasoning_effort": t}),
    "voice": Shape(lambda t: {"audio": {"voice": t, "format": "wav"}}),
    "web-search": Shape(lambda t: {"web_search_options": {"user_location": {"approximate": {"region": t}}}}),
    "unknown-top": Shape(lambda t: {"x_extra": t}),
    "unknown-top-list": Shape(lambda t: {"documents": [[{"text": t}], 1, None]}),
    "unknown-top-name": Shape(lambda t: {t: 1}),
    # one text in two passages
    "two-messages": Shape(
        lambda t: {"messages": [{"role": "user", "content": half} for half in _halves(t)]}, covered=False
    ),
    "system-and-user": Shape(
        lambda t: {
            "messages": [{"role": r, "content": h} for r, h in zip(("system", "user"), _halves(t), strict=True)]
        },
        covered=False,
    ),
    "two-parts": Shape(lambda t: _parts(*map(_text, _halves(t))), ("user",), covered=False),
}


def _halves(text: str) -> tuple[str, str]:
    return text[: len(text) // 2], text[len(text) // 2 :]


def body(shape: Shape, role: str, text: str, turn: str, *, stream: bool) -> Json:
    """`turn` says where among the messages the text stands: the only one, or the first, middle or last of many."""
    asked: Json = {"model": "m", "messages": [{"role": "user", "content": "and then?"}], "stream": stream}
    if role == NO_ROLE:
        return {**asked, **shape.put(text)}
    others = [
        {"role": ("user", "assistant")[n % 2], "content": f"turn {n}"} for n in range(LONG - 1 if turn != "only" else 0)
    ]
    place = {"only": 0, "first": 0, "middle": LONG // 2, "last": LONG}[turn]
    others.insert(place, {"role": role, **shape.put(text)})
    return {**asked, "messages": others}


# Answers


def _token(text: str, *alike: str) -> Json:
    return {
        "token": text,
        "logprob": -0.5,
        "bytes": None,
        "top_logprobs": [{"token": a, "logprob": -1.0} for a in alike],
    }


def _tool_call(index: int, **function: str) -> Json:
    return {"tool_calls": [{"index": index, "type": "function", "function": function}]}


def _alternatives(text: str) -> Json:
    """What the model might have said instead, each time its second choice."""
    return {"logprobs": {"content": [_token("x", "y", char) for char in text]}}


def _in_two_channels(text: str) -> Json:
    return dict(zip(("content", "refusal"), _halves(text), strict=True))


CHANNELS: dict[str, Channel | Line] = {
    "content": Channel(lambda t: {"content": t}),
    "content-part": Channel(lambda t: {"content": [_text(t)]}),
    "refusal": Channel(lambda t: {"refusal": t}),
    "reasoning-content": Channel(lambda t: {"reasoning_content": t}),
    "reasoning": Channel(lambda t: {"reasoning": t}),
    "reasoning-details": Channel(lambda t: {"reasoning_details": [{"index": 0, "type": "reasoning.text", "text": t}]}),
    "arguments": Channel(lambda t: _tool_call(0, arguments=t)),
    "arguments-third": Channel(lambda t: _tool_call(2, arguments=t)),
    "call-name": Channel(lambda t: _tool_call(0, name=t)),
    "function-call": Channel(lambda t: {"function_call": {"arguments": t}}),
    "function-name": Channel(lambda t: {"function_call": {"name": t}}),
    "custom-input": Channel(lambda t: {"tool_calls": [{"index": 1, "custom": {"name": "g", "input": t}}]}),
    "transcript": Channel(lambda t: {"audio": {"id": "audio_1", "transcript": t}}),
    "annotation": Channel(lambda t: {"annotations": [{"type": "url_citation", "url_citation": {"title": t}}]}),
    "unknown": Channel(lambda t: {"x_note": t}),
    "unknown-nested": Channel(lambda t: {"x_note": {"deep": [{"deeper": t}]}}),
    "role": Channel(lambda t: {"role": t}, grows=False),
    "logprobs": Channel(lambda t: {"logprobs": {"content": [_token(t)]}}, "choice"),
    "logprobs-tokens": Channel(lambda t: {"logprobs": {"content": [_token(c) for c in t]}}, "choice"),
    "logprobs-refusal": Channel(lambda t: {"logprobs": {"refusal": [_token(t)]}}, "choice"),
    "top-logprobs": Channel(lambda t: {"logprobs": {"content": [_token("x", t)]}}, "choice"),
    "choice-text": Channel(lambda t: {"text": t}, "choice"),
    "choice-unknown": Channel(lambda t: {"x_note": t}, "choice", grows=False),
    "finish-reason": Channel(lambda t: {"finish_reason": t}, "choice", grows=False),
    "error": Channel(lambda t: {"error": {"message": t, "type": "server_error", "code": None}}, "answer", grows=False),
    "error-text": Channel(lambda t: {"error": t}, "answer", grows=False),
    "top-unknown": Channel(lambda t: {"x_warning": {"text": t}}, "answer", grows=False),
    "service-tier": Channel(lambda t: {"service_tier": t}, "answer", grows=False),
    "comment": Line(lambda t: f": {_lined(t)}\n\n".encode()),
    "comment-before-data": Line(lambda t: f': {_lined(t)}\ndata: {{"choices":[]}}\n\n'.encode()),
    "event-name": Line(lambda t: f'event: {_lined(t)}\ndata: {{"choices":[]}}\n\n'.encode()),
    "event-id": Line(lambda t: f'id: {_lined(t)}\ndata: {{"choices":[]}}\n\n'.encode()),
    "no-json": Line(lambda t: f"data: {_lined(t)}\n\n".encode()),
    # what the upstream's server writes, not the model; and one text in two
    "identifier": Channel(lambda t: {"system_fingerprint": t}, "answer", grows=False, covered=False),
    "field-name": Channel(lambda t: {"x_table": {t: 1}}, grows=False, covered=False),
    "two-channels": Channel(_in_two_channels, grows=False, covered=False),
    "second-alternatives": Channel(_alternatives, "choice", grows=False, covered=False),
}
CHOICES = ("0", "1", "3", "reversed", "interleaved", "positional")


def _lined(text: str) -> str:
    """What a line of an event can carry."""
    return text.replace("\n", " ").replace("\r", " ")


_HEAD = {"id": "chatcmpl-1", "created": 1_700_000_000, "model": "scripted"}


def whole(said: Said) -> Json:
    text = "".join(said.pieces)
    answer: Json = {
        **_HEAD,
        "object": "chat.completion",
        "choices": [],
        "usage": {"prompt_tokens": 5, "completion_tokens": 5},
    }
    assert isinstance(said.channel, Channel)
    if said.channel.of == "answer":
        return {**answer, "choices": [_choice(0, "message", {}, {})], **said.channel.put(text)}
    mine = said.channel.put(text)
    told = [
        _choice(n, "message", *_split(said.channel, mine if n == _index(said.choice) else None))
        for n in _indices(said.choice)
    ]
    return {**answer, "choices": [_unnumbered(c) for c in told] if said.choice == "positional" else told}


def chunks(said: Said) -> list[Json | bytes]:
    """The events of a stream, in which choices may come in any order, and others may speak in between."""
    out: list[Json | bytes] = [
        _chunk(_choice(n, "delta", {"role": "assistant", "content": ""}, {}, None)) for n in _indices(said.choice)
    ]
    for piece in said.pieces:
        if isinstance(said.channel, Line):
            out.append(said.channel.put(piece))
        elif said.channel.of == "answer":
            out.append({**_chunk(), **said.channel.put(piece)})
        else:
            out += _told(said.channel.put(piece), said)
    last = [_choice(n, "delta", {}, {}) for n in _indices(said.choice)]
    return [*out, *(_chunk(_unnumbered(c) if said.choice == "positional" else c) for c in last)]


def _told(mine: Json, said: Said) -> list[Json | bytes]:
    """One piece, as one chunk or among those of other choices."""
    assert isinstance(said.channel, Channel)
    told = [
        _choice(n, "delta", *_split(said.channel, mine if n == _index(said.choice) else None), None)
        for n in _indices(said.choice)
    ]
    if said.choice == "interleaved":
        return [_chunk(choice) for choice in told]
    if said.choice == "positional":
        return [_chunk(*map(_unnumbered, told))]
    return [_chunk(*(told if said.choice == "reversed" else told[-1:]))]


def _split(channel: Channel, mine: Json | None) -> tuple[Json, Json]:
    """What goes into the message and what beside it; choices that the text is not in say something else."""
    if mine is None:
        return {"content": "tide "}, {}
    return (mine, {}) if channel.of == "message" else ({}, mine)


def _index(choice: str) -> int:
    return int(choice) if choice.isdigit() else {"positional": 0}.get(choice, 1)


def _indices(choice: str) -> list[int]:
    """The choices there are, in the order they come; the one with the text is the last of those that are told alone."""
    match choice:
        case "reversed":
            return [2, 1, 0]
        case "interleaved":
            return [0, 1, 2]
        case "positional":
            return [0]
        case _:
            return list(range(int(choice) + 1))


def _choice(index: int, part: str, message: Json, beside: Json, finish: str | None = "stop") -> Json:
    role = {"role": "assistant"} if part == "message" else {}
    return {"index": index, part: {**role, **message}, "finish_reason": finish, **beside}


def _unnumbered(choice: Json) -> Json:
    return {key: value for key, value in choice.items() if key != "index"}


def _chunk(*choices: Json) -> Json:
    return {**_HEAD, "object": "chat.completion.chunk", "choices": list(choices)}


ADAPTER = Adapter(
    "/v1/chat/completions",
    SHAPES,
    body,
    ("only", "first", "middle", "last"),
    CHANNELS,
    CHOICES,
    whole,
    chunks,
)
