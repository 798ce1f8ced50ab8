"""Chat completions: every string that may be somebody's text is found, wherever it stands; what is wrong is named."""

from __future__ import annotations

import copy
import json
from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import RequestError
from gateway.wire import chat, sse
from gateway.wire.body import strings
from gateway.wire.words import FIELDS, LABELS

CANARY = "CANARY deny"
ASK: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}

FULL: dict[str, Any] = {
    "model": "m",
    "messages": [
        {"role": "system", "content": "s", "name": "n"},
        {"role": "developer", "content": [{"type": "text", "text": "d"}]},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "t"},
                {"type": "image_url", "image_url": {"url": "http://u", "detail": "auto"}},
                {"type": "input_audio", "input_audio": {"data": "QQ==", "format": "wav"}},
                {"type": "file", "file": {"file_id": "f", "filename": "name"}},
                {"type": "refusal", "refusal": "r"},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "refusal": "no",
            "reasoning_content": "why",
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
            "function_call": {"name": "f", "arguments": "{}"},
            "audio": {"id": "a"},
        },
        {"role": "tool", "tool_call_id": "c", "content": "result"},
        {"role": "function", "name": "f", "content": "result"},
    ],
    "tools": [
        {
            "type": "function",
            "function": {
                "name": "f",
                "description": "d",
                "parameters": {
                    "type": "object",
                    "properties": {"city": {"type": "string", "enum": ["e"], "default": "d", "description": "d"}},
                    "required": ["city"],
                },
            },
        }
    ],
    "tool_choice": "auto",
    "response_format": {
        "type": "json_schema",
        "json_schema": {"name": "n", "schema": {"type": "object", "title": "t"}},
    },
    "metadata": {"key": "value"},
    "stop": ["stop"],
    "logit_bias": {"50256": -100, "odd": "text"},
    "prediction": {"type": "content", "content": "p"},
    "user": "u",
    "reasoning_effort": "low",
    "service_tier": "auto",
    "modalities": ["text"],
    "documents": [{"text": "evidence"}],
    "x_unknown": {"deep": [{"er": "text"}]},
    "temperature": 0.5,
    "stream": False,
}

ANSWER: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "m-2024",
    "system_fingerprint": "fp_1",
    "service_tier": "default",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "c",
                "refusal": "r",
                "reasoning_content": "why",
                "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
                "function_call": {"name": "f", "arguments": "{}"},
                "annotations": [{"type": "url_citation", "url_citation": {"title": "t", "url": "u"}}],
                "audio": {"transcript": "said", "data": "QQ=="},
            },
            "logprobs": {"content": [{"token": "c", "logprob": -1, "top_logprobs": [{"token": "d", "logprob": -2}]}]},
            "finish_reason": "stop",
        },
        {"index": 1, "message": {"role": "assistant", "content": [{"type": "text", "text": "x"}]}},
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "note": "text"},
    "provider": {"name": "text"},
}


def put(body: Any, path: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    out: dict[str, Any] = copy.deepcopy(body)
    holder: Any = out
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = value
    return out


def paths(body: Any) -> list[tuple[str | int, ...]]:
    return [path for path, _ in strings(body)]


def label(path: tuple[str | int, ...]) -> str:
    return ".".join(map(str, path))


# What is refused


@pytest.mark.parametrize(
    ("change", "param", "status"),
    [
        ({"model": None}, "model", 400),
        ({"model": 7}, "model", 400),
        ({"model": ""}, "model", 400),
        ({"messages": None}, "messages", 400),
        ({"messages": {}}, "messages", 400),
        ({"messages": []}, "messages", 400),
        ({"messages": ["hello"]}, "messages[0]", 400),
        ({"messages": [{"content": "x"}]}, "messages[0].role", 400),
        ({"messages": [{"role": "System", "content": "x"}]}, "messages[0].role", 400),
        ({"messages": [{"role": ["user"], "content": "x"}]}, "messages[0].role", 400),
        ({"messages": [{"role": {}, "content": "x"}]}, "messages[0].role", 400),
        ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content", 400),
        ({"messages": [{"role": "user", "content": {"type": "text"}}]}, "messages[0].content", 400),
        ({"messages": [{"role": "user", "content": ["x"]}]}, "messages[0].content[0]", 400),
        ({"messages": [{"role": "user", "content": [{}]}]}, "messages[0].content[0].type", 422),
        ({"messages": [{"role": "user", "content": [{"type": "video"}]}]}, "messages[0].content[0].type", 422),
        ({"messages": [{"role": "user", "content": [{"type": []}]}]}, "messages[0].content[0].type", 422),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text", 400),
        ({"messages": [{"role": "user", "content": [[]]}]}, "messages[0].content[0]", 400),
        ({"stream": "true"}, "stream", 400),
        ({"stream": 1}, "stream", 400),
        ({"stream_options": [1]}, "stream_options", 400),
    ],
)
def test_a_wrong_field_is_named(change: dict[str, Any], param: str, status: int) -> None:
    with pytest.raises(RequestError) as refused:
        chat.read(orjson.dumps({**ASK, **change}))
    assert (refused.value.param, refused.value.status) == (param, status)
    assert param in refused.value.message


@pytest.mark.parametrize("missing", ["model", "messages"])
def test_a_missing_field_is_named(missing: str) -> None:
    with pytest.raises(RequestError) as refused:
        chat.read(orjson.dumps({key: value for key, value in ASK.items() if key != missing}))
    assert refused.value.param == missing


WRONG = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)


def _places(body: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    items = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ()
    return [place for key, item in items for place in ((*path, key), *_places(item, (*path, key)))]


@settings(max_examples=500)
@given(st.sampled_from(_places(FULL)), WRONG)
def test_a_wrong_type_anywhere_is_refused_or_read_and_never_breaks(path: tuple[str | int, ...], value: Any) -> None:
    body = put(FULL, path, value)
    with suppress(RequestError):
        body = chat.read(json.dumps(body).encode())
        chat.prompts(body)
        chat.question(body)
        chat.context(body, frozenset({"documents", "system", "tool", "user"}))
        chat.asks_usage(body)


# What is text, in a request


@pytest.mark.parametrize("path", paths(FULL), ids=label)
def test_text_is_found_wherever_a_request_has_a_string(path: tuple[str | int, ...]) -> None:
    body = put(FULL, path, CANARY)
    found = [p for p in chat.prompts(body) if p.text == CANARY]
    assert [p.path for p in found] == ([path] if path != ("model",) else [])


def test_words_of_the_api_are_text_only_where_they_do_not_belong() -> None:
    found = {p.path for p in chat.prompts(FULL)}
    words = {path for path in paths(FULL) if path not in found}
    assert {label(path) for path in words} == {
        "model",
        *(f"messages.{n}.role" for n in range(6)),
        "messages.1.content.0.type",
        *(f"messages.2.content.{n}.type" for n in range(5)),
        "messages.2.content.1.image_url.detail",
        "messages.2.content.2.input_audio.format",
        "messages.3.tool_calls.0.type",
        "tools.0.type",
        "tools.0.function.parameters.type",
        "tools.0.function.parameters.properties.city.type",
        "response_format.type",
        "response_format.json_schema.schema.type",
        "tool_choice",
        "reasoning_effort",
        "service_tier",
    }


@pytest.mark.parametrize("word", sorted({word for words in LABELS.values() for word in words}))
def test_a_word_of_the_api_in_an_unknown_place_is_text(word: str) -> None:
    for key in ("type", "role", "format", "detail", "finish_reason", "x"):
        passages = chat.prompts({**ASK, "extra": {key: word}, "messages": [{"role": "user", "extra": {key: word}}]})
        assert [p.text for p in passages[:2]] == [word, word]


def test_names_of_unknown_fields_are_text() -> None:
    body = {**ASK, "metadata": {CANARY: 1}, "tools": [{"function": {"parameters": {"properties": {"city": {}}}}}]}
    last = chat.prompts(body)[-1]
    assert (last.path, last.text) == ((), f"{CANARY}\ncity")
    assert all(p.path for p in chat.prompts(ASK))
    assert {"content", "tool_call_id", "properties"} <= FIELDS


def test_a_passage_knows_its_role_and_channel() -> None:
    found = {label(p.path): (p.role, p.channel, p.direction) for p in chat.prompts(FULL)}
    assert found["messages.0.content"] == ("system", "content", "input")
    assert found["messages.1.content.0.text"] == ("developer", "content", "input")
    assert found["messages.3.reasoning_content"] == ("assistant", "reasoning", "input")
    assert found["messages.3.tool_calls.0.function.arguments"] == ("assistant", "arguments", "input")
    assert found["messages.4.content"] == ("tool", "content", "input")
    assert found["tools.0.function.description"] == ("", "tool", "input")
    assert found["metadata.key"] == ("", "field", "input")


def test_the_question_is_the_last_user_text_and_the_context_what_is_marked() -> None:
    body = {
        "documents": [{"title": "t", "text": "doc"}],
        "messages": [
            {"role": "user", "content": "first"},
            {"role": "developer", "content": "be brief"},
            {"role": "tool", "content": [{"type": "text", "text": "found"}]},
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            {"role": "assistant", "content": "hm"},
        ],
    }
    assert chat.question(body) == "a\nb"
    assert chat.context(body, frozenset({"documents", "tool"})) == ["found", "t", "doc"]
    assert chat.context(body, frozenset({"system"})) == ["be brief"]
    assert chat.context(body, frozenset()) == []
    assert chat.question({"messages": [{"role": "system", "content": "x"}]}) == ""


@pytest.mark.parametrize("options", [None, {}, {"include_usage": False}, {"include_obfuscation": False}])
def test_usage_is_asked_for_beside_what_the_client_asked(options: Any) -> None:
    body = {**ASK, "stream": True, **({} if options is None else {"stream_options": options})}
    asked = orjson.loads(chat.with_usage(orjson.dumps(body), body))
    assert asked == {**body, "stream_options": {**(options or {}), "include_usage": True}}
    assert chat.asks_usage(asked)
    assert not chat.asks_usage(body)


# What is text, in an answer


@pytest.mark.parametrize("path", paths(ANSWER), ids=label)
def test_text_is_found_wherever_an_answer_has_a_string(path: tuple[str | int, ...]) -> None:
    assert [d.path for d in chat.deltas(put(ANSWER, path, CANARY)) if d.text == CANARY] == [path]


def test_labels_of_an_answer_are_not_text() -> None:
    found = {d.path for d in chat.deltas(ANSWER)}
    assert {label(path) for path in paths(ANSWER) if path not in found} == {
        "id",
        "object",
        "model",
        "system_fingerprint",
        "service_tier",
        "choices.0.message.role",
        "choices.1.message.role",
        "choices.0.message.tool_calls.0.id",
        "choices.0.message.tool_calls.0.type",
        "choices.0.finish_reason",
    }


@given(st.sampled_from(_places(ANSWER)), WRONG)
def test_an_odd_answer_never_breaks_the_reading(path: tuple[str | int, ...], value: Any) -> None:
    for body in (put(ANSWER, path, value), put(_as_chunk(ANSWER), path[:2], value)):
        found = chat.deltas(body)
        assert all(isinstance(d.text, str) and d.text for d in found)
        chat.choices(body)
        chat.usage(body)
        chat.model(body)
        chat.failed(body)
        chat.only_usage(body)
        chat.without_logprobs(body)


def _as_chunk(body: dict[str, Any]) -> dict[str, Any]:
    """The answer as one chunk of a stream, with the positions that chunks state."""
    out = copy.deepcopy(body)
    for choice in out["choices"]:
        choice["delta"] = choice.pop("message")
        for n, call in enumerate(choice["delta"].get("tool_calls", [])):
            call["index"] = n
    return {**out, "object": "chat.completion.chunk"}


def test_a_text_has_the_same_key_streamed_or_not() -> None:
    whole = {(d.key, d.text, d.channel) for d in chat.deltas(ANSWER)}
    assert {(d.key, d.text, d.channel) for d in chat.deltas(_as_chunk(ANSWER))} == whole


def test_a_delta_belongs_where_its_chunk_says() -> None:
    calls = [{"index": 1, "function": {"arguments": "a"}}]
    chunk = {"choices": [{"index": 2, "delta": {"tool_calls": calls}}]}
    (found,) = chat.deltas(chunk)
    assert found.key == (2, ("tool_calls", 1, "function", "arguments"))
    assert found.path == ("choices", 0, "delta", "tool_calls", 0, "function", "arguments")


def test_tokens_with_probabilities_make_up_one_text() -> None:
    tokens = [{"token": "for", "logprob": -1}, {"token": "bidden", "logprob": -1}]
    chunk = {"choices": [{"index": 0, "delta": {}, "logprobs": {"content": tokens}}]}
    first, second = chat.deltas(chunk)
    assert first.key == second.key == (0, ("logprobs", "content", "token"))


def test_what_is_in_no_message_stands_for_itself() -> None:
    chunk = {"provider": "text one", "error": {"message": "text two"}, "choices": [{"index": 0, "note": "text three"}]}
    assert [(d.key, d.text) for d in chat.deltas(chunk)] == [(None, f"text {n}") for n in ("one", "two", "three")]


def test_logprobs_go_with_what_a_rewrite_took_away() -> None:
    body = {"choices": [{"index": 0, "logprobs": {"content": [1]}}, {"index": 1, "logprobs": None}, 7]}
    assert chat.without_logprobs(body) == {
        "choices": [{"index": 0, "logprobs": None}, {"index": 1, "logprobs": None}, 7]
    }


@pytest.mark.parametrize("reason", ["stop", "length", "tool_calls", "content_filter", "function_call"])
def test_a_known_reason_is_kept(reason: str) -> None:
    assert chat.finish_word(reason) == reason


@pytest.mark.parametrize("reason", ["because I say so", 7, ["stop"]])
def test_an_unknown_reason_is_not_repeated(reason: Any) -> None:
    assert chat.finish_word(reason) == "other"


def test_a_model_that_is_no_name_is_not_repeated() -> None:
    assert chat.model({"model": "org/model-1.5:free"}) == "org/model-1.5:free"
    assert [chat.model({"model": odd}) for odd in ("a b", 7, None, "x" * 300)] == [""] * 4


def test_a_refusal_finishes_every_open_choice_and_says_why() -> None:
    last = {"id": "i", "created": 7, "model": "m", "object": "chat.completion.chunk", "choices": []}
    decoder = sse.Decoder()
    chunk, done = decoder.feed(chat.refusal(last, [0, 2], {"code": "content_filter"}, {"prompt_tokens": 3}))
    assert done.data == sse.DONE
    assert orjson.loads(chunk.data) == {
        **last,
        "choices": [{"index": n, "delta": {}, "finish_reason": "content_filter"} for n in (0, 2)],
        "usage": {"prompt_tokens": 3},
        "error": {"code": "content_filter"},
    }
