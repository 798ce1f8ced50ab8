"""What is asked of `/v1/responses` is asked of a chat model, or refused by name; nothing is lost on the way."""

from __future__ import annotations

from typing import Any, get_type_hints

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import response_create_params

from gateway.errors import NotSupported, RequestError, TidegateError, Unprocessable
from gateway.wire import chat, responses

ASKED: dict[str, Any] = {"model": "m", "input": "hi"}
HI = {"role": "user", "content": "hi"}


def asked(**more: Any) -> dict[str, Any]:
    """The chat request that comes of `ASKED` with `more`; a chat endpoint would take it."""
    body = responses.to_chat(responses.read(orjson.dumps({**ASKED, **more})))
    assert chat.read(orjson.dumps(body)) == body
    return body


def turns(*items: Any) -> list[dict[str, Any]]:
    return list(asked(input=list(items))["messages"])


def message(*parts: Any, role: str = "user", **more: Any) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": list(parts), **more}


def read(said: str) -> dict[str, Any]:
    return {"type": "input_text", "text": said}


def wrote(said: str) -> dict[str, Any]:
    return {"type": "output_text", "text": said, "annotations": [], "logprobs": []}


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


def call(ident: str, arguments: str = "{}") -> dict[str, Any]:
    return {"type": "function_call", "id": "fc_1", "call_id": ident, "name": "f", "arguments": arguments}


def called(ident: str, arguments: str = "{}") -> dict[str, Any]:
    return {"id": ident, "type": "function", "function": {"name": "f", "arguments": arguments}}


def test_a_plain_question_is_the_same_question() -> None:
    assert asked() == {"model": "m", "messages": [HI]}


def test_every_setting_has_its_place() -> None:
    schema = {"type": "object"}
    form = {"type": "json_schema", "name": "n", "schema": schema, "strict": True, "description": "d"}
    body = asked(
        instructions="be brief",
        max_output_tokens=9,
        temperature=0.5,
        top_p=0.9,
        parallel_tool_calls=False,
        text={"format": form, "verbosity": "low"},
        reasoning={"effort": "low", "summary": "auto"},
        user="u",
        safety_identifier="s",
        service_tier="flex",
        prompt_cache_key="k",
        prompt_cache_retention="24h",
        prompt_cache_options={"mode": "explicit"},
        stream=True,
    )
    assert body.pop("messages") == [{"role": "system", "content": "be brief"}, HI]
    assert body == {
        "model": "m",
        "max_completion_tokens": 9,
        "temperature": 0.5,
        "top_p": 0.9,
        "parallel_tool_calls": False,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "n", "schema": schema, "strict": True, "description": "d"},
        },
        "verbosity": "low",
        "reasoning_effort": "low",
        "user": "u",
        "safety_identifier": "s",
        "service_tier": "flex",
        "prompt_cache_key": "k",
        "prompt_cache_retention": "24h",
        "prompt_cache_options": {"mode": "explicit"},
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_what_holds_anyway_is_left_out() -> None:
    body = asked(
        store=False,
        background=False,
        truncation="disabled",
        top_logprobs=0,
        include=["reasoning.encrypted_content"],
        text={"format": {"type": "text"}},
        metadata={"a": "b"},
        stream_options={"include_obfuscation": False},
        previous_response_id=None,
        tools=[],
        stream=False,
    )
    assert body == {"model": "m", "messages": [HI], "stream": False}


def test_json_of_any_shape_may_be_asked_for() -> None:
    assert asked(text={"format": {"type": "json_object"}})["response_format"] == {"type": "json_object"}


def test_tools_are_functions() -> None:
    tool = {"type": "function", "name": "f", "description": "does", "parameters": {"type": "object"}, "strict": False}
    function = {key: value for key, value in tool.items() if key != "type"}
    body = asked(tools=[tool], tool_choice={"type": "function", "name": "f"})
    assert body["tools"] == [{"type": "function", "function": function}]
    assert body["tool_choice"] == {"type": "function", "function": {"name": "f"}}


@pytest.mark.parametrize("choice", ["none", "auto", "required"])
def test_the_choice_of_a_tool_is_the_same_choice(choice: str) -> None:
    assert asked(tool_choice=choice)["tool_choice"] == choice


@pytest.mark.parametrize("role", ["user", "system", "developer", "assistant"])
def test_a_message_is_a_message(role: str) -> None:
    assert turns({"role": role, "content": "a"}) == [{"role": role, "content": "a"}]
    assert turns(message(read("a"), role=role)) == [{"role": role, "content": "a"}]
    assert turns(message(read("a"), read("b"), role=role)) == [{"role": role, "content": [text("a"), text("b")]}]


def test_images_and_files_are_parts() -> None:
    image = {"type": "input_image", "image_url": "data:image/png;base64,AA", "detail": "low"}
    file = {"type": "input_file", "filename": "f.pdf", "file_data": "data:application/pdf;base64,AA"}
    (turn,) = turns(message(image, file))
    assert turn["content"] == [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA", "detail": "low"}},
        {"type": "file", "file": {"filename": "f.pdf", "file_data": "data:application/pdf;base64,AA"}},
    ]


def test_what_a_model_thought_said_and_called_is_one_message() -> None:
    thought = {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]}
    said = message(wrote("let me see"), role="assistant", id="msg_1", status="completed")
    results = [{"type": "function_call_output", "call_id": ident, "output": "found"} for ident in ("c1", "c2")]
    assert turns(HI, thought, said, call("c1", '{"x":1}'), call("c2"), *results, message(read("and?"))) == [
        HI,
        {
            "role": "assistant",
            "content": "let me see",
            "reasoning_content": "hm",
            "tool_calls": [called("c1", '{"x":1}'), called("c2")],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "found"},
        {"role": "tool", "tool_call_id": "c2", "content": "found"},
        {"role": "user", "content": "and?"},
    ]


def test_a_call_without_text_has_none() -> None:
    assert turns(HI, call("c1"))[1] == {"role": "assistant", "content": None, "tool_calls": [called("c1")]}


def test_thoughts_alone_are_a_message_too() -> None:
    parts = [{"type": "reasoning_text", "text": piece} for piece in ("a", "b")]
    assert turns({"type": "reasoning", "id": "r", "summary": [], "content": parts}) == [
        {"role": "assistant", "content": "", "reasoning_content": "ab"}
    ]


def test_a_refusal_goes_back_as_one() -> None:
    refused = message({"type": "refusal", "refusal": "no"}, wrote("sorry"), role="assistant")
    assert turns(HI, refused)[1] == {"role": "assistant", "content": "sorry", "refusal": "no"}


def test_two_texts_of_the_model_in_a_row_are_two_texts() -> None:
    said = [message(wrote(piece), role="assistant") for piece in ("a", "b")]
    assert turns(*said) == [{"role": "assistant", "content": [text("a"), text("b")]}]


def test_a_tool_may_answer_in_parts() -> None:
    (turn,) = turns({"type": "function_call_output", "call_id": "c", "output": [read("a"), read("b")]})
    assert turn["content"] == [text("a"), text("b")]


IMAGE = {"type": "input_image", "image_url": "https://x.example/i"}
THOUGHT = {"type": "reasoning", "id": "r", "summary": []}
TOOL = {"type": "function", "name": "f"}
RETURNED = {"type": "function_call_output", "call_id": "c"}


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"store": True}, "store"),
        ({"background": True}, "background"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"context_management": []}, "context_management"),
        ({"max_tool_calls": 3}, "max_tool_calls"),
        ({"moderation": {"model": "m"}}, "moderation"),
        ({"truncation": "auto"}, "truncation"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"include": ["message.output_text.logprobs"]}, "include"),
        ({"reasoning": {"summary": "detailed"}}, "reasoning.summary"),
        ({"reasoning": {"context": "all_turns"}}, "reasoning.context"),
        ({"reasoning": {"mode": "pro"}}, "reasoning.mode"),
        ({"stream_options": {"include_obfuscation": True}}, "stream_options.include_obfuscation"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"tools": [{"type": "mcp", "server_label": "s"}]}, "tools[0].type"),
        ({"tools": [{"type": "custom", "name": "c"}]}, "tools[0].type"),
        ({"tools": [{**TOOL, "defer_loading": True}]}, "tools[0].defer_loading"),
        ({"tools": [{**TOOL, "allowed_callers": ["programmatic"]}]}, "tools[0].allowed_callers"),
        ({"tools": [{**TOOL, "output_schema": {}}]}, "tools[0].output_schema"),
        ({"tool_choice": {"type": "web_search_preview"}}, "tool_choice.type"),
        ({"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": []}}, "tool_choice.type"),
        ({"input": [{"type": "computer_call"}]}, "input[0].type"),
        ({"input": [{"type": "additional_tools", "tools": []}]}, "input[0].type"),
        ({"input": [message({"type": "input_audio"})]}, "input[0].content[0].type"),
        ({"input": [message({**IMAGE, "file_id": "f"})]}, "input[0].content[0].file_id"),
        ({"input": [message({**IMAGE, "detail": "original"})]}, "input[0].content[0].detail"),
        ({"input": [message({"type": "input_file", "file_url": "https://x"})]}, "input[0].content[0].file_url"),
        ({"input": [message({**wrote("a"), "annotations": [{}]})]}, "input[0].content[0].annotations"),
        ({"input": [message(phase="commentary")]}, "input[0].phase"),
        ({"input": [{**THOUGHT, "encrypted_content": "x"}]}, "input[0].encrypted_content"),
        ({"input": [{**THOUGHT, "summary": [{"type": "summary_text", "text": "x"}]}]}, "input[0].summary"),
        ({"input": [{**call("c"), "namespace": "n"}]}, "input[0].namespace"),
        ({"input": [{**RETURNED, "output": [IMAGE]}]}, "input[0].output"),
    ],
)
def test_what_a_chat_model_cannot_be_asked_is_refused_by_name(more: dict[str, Any], param: str) -> None:
    with pytest.raises(NotSupported) as refused:
        asked(**more)
    assert refused.value.param == param
    assert f"'{param}'" in refused.value.message


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"model": ""}, "model"),
        ({"model": None}, "model"),
        ({"input": None}, "input"),
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": 7}, "input"),
        ({"input": ["hi"]}, "input[0]"),
        ({"input": [{}]}, "input[0].type"),
        ({"input": [{"role": "robot", "content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "user"}]}, "input[0].content"),
        ({"input": [{"role": "user", "content": 7}]}, "input[0].content"),
        ({"input": [message({"type": "input_text"})]}, "input[0].content[0].text"),
        ({"input": [message({"type": "input_file"})]}, "input[0].content[0].file_data"),
        ({"input": [{"type": "function_call", "name": "f", "arguments": "{}"}]}, "input[0].call_id"),
        ({"input": [RETURNED]}, "input[0].output"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0].type"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"tool_choice": "best"}, "tool_choice"),
        ({"tool_choice": {"type": "function"}}, "tool_choice.name"),
        ({"tools": [{"name": "f"}]}, "tools[0].type"),
        ({"text": {"format": {"type": "yaml"}}}, "text.format.type"),
        ({"text": {"format": {"type": "json_schema", "name": "n"}}}, "text.format.schema"),
        ({"max_output_tokens": "9"}, "max_output_tokens"),
        ({"stream": 1}, "stream"),
        ({"metadata": "x"}, "metadata"),
    ],
)
def test_what_is_no_request_is_the_clients_doing_and_named(more: dict[str, Any], param: str) -> None:
    with pytest.raises(RequestError) as refused:
        asked(**more)
    assert (refused.value.status, refused.value.param) == (400, param)


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"messages": []}, "messages"),
        ({"input": [{**HI, "name": "x"}]}, "input[0].name"),
        ({"input": [message({**read("a"), "aside": "x"})]}, "input[0].content[0].aside"),
        ({"text": {"note": "x"}}, "text.note"),
        ({"reasoning": {"note": "x"}}, "reasoning.note"),
        ({"tools": [{**TOOL, "note": "x"}]}, "tools[0].note"),
    ],
)
def test_a_field_that_nobody_knows_is_refused_by_name(more: dict[str, Any], param: str) -> None:
    with pytest.raises(Unprocessable) as refused:
        asked(**more)
    assert refused.value.param == param


@pytest.mark.parametrize("key", sorted(get_type_hints(response_create_params.ResponseCreateParamsStreaming)))
def test_every_field_of_the_sdk_is_known(key: str) -> None:
    """Known is: taken, or refused as what it is; never as a field that OpenAI does not have."""
    try:
        responses.to_chat({**ASKED, key: {"type": "strange"}})
    except TidegateError as error:
        assert not isinstance(error, Unprocessable) or error.param != key  # noqa: PT017  either outcome is an answer


words = st.text("ab \u00e9\n", max_size=8)
items = st.one_of(
    st.builds(lambda t: {"role": "user", "content": t}, words),
    st.builds(lambda t: message(*map(read, t)), st.lists(words, max_size=3)),
    st.builds(lambda t: message(*map(wrote, t), role="assistant"), st.lists(words, max_size=3)),
    st.builds(lambda t: message({"type": "refusal", "refusal": t}, role="assistant"), words),
    st.builds(lambda t: call("c", t), words),
    st.builds(lambda t: {**RETURNED, "output": t}, words | st.lists(st.builds(read, words), max_size=3)),
    st.builds(lambda t: {**THOUGHT, "content": [{"type": "reasoning_text", "text": t}]}, words),
)


def texts(value: Any) -> list[str]:
    """Every text that a conversation says, wherever it stands."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for inner in value for text in texts(inner)]
    keys = ("text", "refusal", "content", "arguments", "output")
    return [text for key in keys if key in value for text in texts(value[key])]


@given(st.lists(items, min_size=1, max_size=6), words)
def test_every_text_that_is_asked_is_judged(conversation: list[dict[str, Any]], instructions: str) -> None:
    body = responses.to_chat({"model": "m", "input": conversation, "instructions": instructions})
    judged = "\0".join(passage.text for passage in chat.prompts(body))
    assert all(text in judged for text in [instructions, *texts(conversation)])
