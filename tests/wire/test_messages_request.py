"""What Anthropic's clients ask is asked of a chat model, or refused by name; nothing is lost on the way."""

from __future__ import annotations

import inspect
from typing import Any, get_type_hints

import anthropic
import orjson
import pytest
from anthropic.types import message_create_params
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import NotSupported, RequestError, TidegateError, Unprocessable
from gateway.wire import chat, messages

ASKED: dict[str, Any] = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}


def asked(**more: Any) -> dict[str, Any]:
    """The chat request that comes of `ASKED` with `more`; a chat endpoint would take it."""
    body = messages.to_chat(messages.read(orjson.dumps({**ASKED, **more})))
    assert chat.read(orjson.dumps(body)) == body
    return body


def turns(*said: dict[str, Any]) -> list[dict[str, Any]]:
    """The chat messages that come of a conversation; a last word of the user's is added, and taken away."""
    found = asked(messages=[*said, {"role": "user", "content": "go on"}])["messages"]
    assert found[-1] == {"role": "user", "content": "go on"}
    return list(found[:-1])


def user(*blocks: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


def text(said: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": said, **more}


def test_a_plain_question_is_the_same_question() -> None:
    assert asked() == ASKED


def test_every_setting_has_its_place() -> None:
    body = asked(
        system="be brief",
        temperature=0.5,
        top_p=0.9,
        stop_sequences=["END"],
        metadata={"user_id": "u-1"},
        service_tier="standard_only",
        output_config={"effort": "low", "format": {"type": "json_schema", "schema": {"type": "object"}}},
        stream=True,
    )
    assert body.pop("messages") == [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}]
    schema = {"name": "answer", "schema": {"type": "object"}, "strict": True}
    assert body == {
        "model": "m",
        "max_tokens": 9,
        "temperature": 0.5,
        "top_p": 0.9,
        "stop": ["END"],
        "user": "u-1",
        "service_tier": "default",
        "reasoning_effort": "low",
        "response_format": {"type": "json_schema", "json_schema": schema},
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_hints_that_only_price_or_say_what_holds_anyway_are_left_out() -> None:
    cached = {"cache_control": {"type": "ephemeral"}}
    body = asked(
        system=[text("be brief", **cached)],
        messages=[user(text("hi", citations=None, **cached))],
        thinking={"type": "disabled"},
        service_tier="auto",
        speed="standard",
        top_k=None,
        stop_sequences=[],
        **cached,
    )
    assert body == {**ASKED, "messages": [{"role": "system", "content": "be brief"}, *ASKED["messages"]]}


def test_tools_are_functions() -> None:
    schema = {"type": "object", "properties": {"x": {"type": "string"}}}
    tool = {"name": "f", "description": "does", "input_schema": schema, "strict": True, "type": "custom"}
    assert asked(tools=[tool])["tools"] == [
        {"type": "function", "function": {"name": "f", "description": "does", "parameters": schema, "strict": True}}
    ]


@pytest.mark.parametrize(
    ("choice", "chosen"),
    [
        ({"type": "auto"}, {"tool_choice": "auto"}),
        ({"type": "any"}, {"tool_choice": "required"}),
        ({"type": "none"}, {"tool_choice": "none"}),
        ({"type": "tool", "name": "f"}, {"tool_choice": {"type": "function", "function": {"name": "f"}}}),
        (
            {"type": "auto", "disable_parallel_tool_use": True},
            {"tool_choice": "auto", "parallel_tool_calls": False},
        ),
        ({"type": "auto", "disable_parallel_tool_use": False}, {"tool_choice": "auto"}),
    ],
)
def test_the_choice_of_a_tool_is_the_same_choice(choice: dict[str, Any], chosen: dict[str, Any]) -> None:
    body = asked(tool_choice=choice)
    assert {key: body[key] for key in ("tool_choice", "parallel_tool_calls") if key in body} == chosen


def test_a_turn_of_many_texts_stays_many_texts() -> None:
    assert turns(user(text("a"), text("b"))) == [{"role": "user", "content": [text("a"), text("b")]}]


@pytest.mark.parametrize(
    ("source", "url"),
    [
        ({"type": "base64", "media_type": "image/png", "data": "AAAA"}, "data:image/png;base64,AAAA"),
        ({"type": "url", "url": "https://x.example/i.png"}, "https://x.example/i.png"),
    ],
)
def test_an_image_is_an_image(source: dict[str, Any], url: str) -> None:
    (turn,) = turns(user(text("see"), {"type": "image", "source": source}))
    assert turn["content"] == [text("see"), {"type": "image_url", "image_url": {"url": url}}]


@pytest.mark.parametrize(
    ("source", "held"),
    [
        ({"type": "text", "media_type": "text/plain", "data": "body"}, [text("body")]),
        ({"type": "content", "content": "body"}, [text("body")]),
        ({"type": "content", "content": [text("a"), text("b")]}, [text("a"), text("b")]),
        (
            {"type": "base64", "media_type": "application/pdf", "data": "AAAA"},
            [{"type": "file", "file": {"filename": "T", "file_data": "data:application/pdf;base64,AAAA"}}],
        ),
    ],
)
def test_a_document_is_its_title_its_context_and_what_it_holds(source: dict[str, Any], held: list[Any]) -> None:
    document = {"type": "document", "title": "T", "context": "C", "citations": {"enabled": False}, "source": source}
    (turn,) = turns(user(document))
    assert turn["content"] == [text("T"), text("C"), *held]


def test_what_tools_answered_are_messages_of_their_own_before_what_the_user_says() -> None:
    called = {"type": "tool_use", "id": "c1", "name": "f", "input": {"x": 1}}
    result = {"type": "tool_result", "tool_use_id": "c1", "content": "found"}
    other = {"type": "tool_result", "tool_use_id": "c2", "content": [text("a"), text("b")], "is_error": False}
    said = turns({"role": "assistant", "content": [text("let me see"), called]}, user(result, other, text("and?")))
    function = {"name": "f", "arguments": '{"x":1}'}
    assert said == [
        {
            "role": "assistant",
            "content": "let me see",
            "tool_calls": [{"id": "c1", "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "found"},
        {"role": "tool", "tool_call_id": "c2", "content": [text("a"), text("b")]},
        {"role": "user", "content": "and?"},
    ]


@pytest.mark.parametrize(
    ("content", "told"),
    [("no disk", "Error: no disk"), (None, "Error:"), ([text("a"), text("b")], [text("Error:"), text("a"), text("b")])],
)
def test_a_model_is_told_that_a_tool_failed(content: Any, told: Any) -> None:
    (turn,) = turns(user({"type": "tool_result", "tool_use_id": "c", "content": content, "is_error": True}))
    assert turn["content"] == told


def test_what_the_model_thought_goes_back_to_it_without_a_signature() -> None:
    thought = {"type": "thinking", "thinking": "hm", "signature": "c2ln"}
    (turn,) = turns({"role": "assistant", "content": [thought, text("yes")]})
    assert turn == {"role": "assistant", "content": "yes", "reasoning_content": "hm"}


def test_a_system_turn_in_the_middle_stays_where_it_is() -> None:
    said = turns(user(text("a")), {"role": "system", "content": [text("be kind")]})
    assert said[1] == {"role": "system", "content": "be kind"}


def test_a_call_without_text_has_none() -> None:
    (turn,) = turns({"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "f", "input": {}}]})
    assert turn["content"] is None


@pytest.mark.parametrize("role", ["user", "assistant"])
def test_an_empty_turn_is_an_empty_turn(role: str) -> None:
    assert turns({"role": role, "content": ""}) == [{"role": role, "content": ""}]
    assert turns({"role": role, "content": []}) == [{"role": role, "content": ""}]


PDF = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"}}
IMAGE = {"type": "image", "source": {"type": "url", "url": "https://x.example/i"}}


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"top_k": 5}, "top_k"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "thinking.type"),
        ({"thinking": {"type": "adaptive"}}, "thinking.type"),
        ({"container": "c"}, "container"),
        ({"mcp_servers": [{}]}, "mcp_servers"),
        ({"context_management": {}}, "context_management"),
        ({"inference_geo": "us"}, "inference_geo"),
        ({"speed": "fast"}, "speed"),
        ({"service_tier": "best"}, "service_tier"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0].type"),
        ({"tools": [{"name": "f", "input_schema": {}, "defer_loading": True}]}, "tools[0].defer_loading"),
        ({"tools": [{"name": "f", "input_schema": {}, "input_examples": [{}]}]}, "tools[0].input_examples"),
        ({"messages": [user({"type": "redacted_thinking", "data": "x"})]}, "messages[0].content[0].type"),
        ({"messages": [user({"type": "search_result"})]}, "messages[0].content[0].type"),
        ({"messages": [user({"type": "server_tool_use"})]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "assistant", "content": [IMAGE]}]}, "messages[0].content[0].type"),
        ({"messages": [user({**IMAGE, "transformations": {}})]}, "messages[0].content[0].transformations"),
        (
            {"messages": [user({"type": "image", "source": {"type": "file", "file_id": "f"}})]},
            "messages[0].content[0].source.type",
        ),
        (
            {"messages": [user({**PDF, "citations": {"enabled": True}})]},
            "messages[0].content[0].citations.enabled",
        ),
        (
            {"messages": [user({"type": "tool_result", "tool_use_id": "c", "content": [IMAGE]})]},
            "messages[0].content[0].content[0].type",
        ),
        (
            {"messages": [user({"type": "tool_result", "tool_use_id": "c", "content": [PDF]})]},
            "messages[0].content[0].content",
        ),
        ({"messages": [user(text("a", citations=[{"cited_text": "b"}]))]}, "messages[0].content[0].citations"),
        ({"system": [IMAGE]}, "system[0].type"),
        ({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}, "messages[1].role"),
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
        ({"model": 7}, "model"),
        ({"messages": []}, "messages"),
        ({"messages": None}, "messages"),
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": "9"}, "max_tokens"),
        ({"stream": "yes"}, "stream"),
        ({"messages": ["hi"]}, "messages[0]"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content"),
        ({"messages": [user({"text": "x"})]}, "messages[0].content[0].type"),
        ({"messages": [user({"type": "text"})]}, "messages[0].content[0].text"),
        ({"messages": [user({"type": "tool_result"})]}, "messages[0].content[0].tool_use_id"),
        ({"tool_choice": {"type": "tool"}}, "tool_choice.name"),
        ({"tool_choice": {"type": "best"}}, "tool_choice.type"),
        ({"tools": [{"name": "f"}]}, "tools[0].input_schema"),
        ({"stop_sequences": "END"}, "stop_sequences"),
    ],
)
def test_what_is_no_request_is_the_clients_doing_and_named(more: dict[str, Any], param: str) -> None:
    with pytest.raises(RequestError) as refused:
        asked(**more)
    assert (refused.value.status, refused.value.param) == (400, param)


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"secret": "x"}, "secret"),
        ({"messages": [{"role": "user", "content": "hi", "name": "x"}]}, "messages[0].name"),
        ({"messages": [user(text("a", aside="x"))]}, "messages[0].content[0].aside"),
        ({"metadata": {"user_id": "u", "note": "x"}}, "metadata.note"),
        ({"tools": [{"name": "f", "input_schema": {}, "note": "x"}]}, "tools[0].note"),
        ({"tool_choice": {"type": "auto", "note": "x"}}, "tool_choice.note"),
    ],
)
def test_a_field_that_nobody_knows_is_refused_by_name(more: dict[str, Any], param: str) -> None:
    with pytest.raises(Unprocessable) as refused:
        asked(**more)
    assert refused.value.param == param


@pytest.mark.parametrize("key", sorted(get_type_hints(message_create_params.MessageCreateParamsStreaming)))
def test_every_field_of_the_sdk_is_known(key: str) -> None:
    """Known is: taken, or refused as what it is; never as a field that Anthropic does not have."""
    try:
        messages.to_chat({**ASKED, key: {"type": "strange"}})
    except TidegateError as error:
        assert not isinstance(error, Unprocessable) or error.param != key  # noqa: PT017  either outcome is an answer


def test_every_argument_of_the_client_is_a_field() -> None:
    taken = set(inspect.signature(anthropic.Anthropic(api_key="x").messages.create).parameters)
    local = {"extra_headers", "extra_query", "extra_body", "timeout", "betas", "self"}
    assert taken - local <= set(get_type_hints(message_create_params.MessageCreateParamsStreaming)) | {"fallbacks"}


said = st.text("ab \u00e9\n", max_size=8)
told = st.builds(text, said)
held = st.builds(lambda t: {"type": "document", "source": {"type": "text", "data": t}, "title": t[::-1]}, said)
result = st.builds(
    lambda content: {"type": "tool_result", "tool_use_id": "c", "content": content}, st.lists(told | held, max_size=3)
)
thought = st.builds(lambda t: {"type": "thinking", "thinking": t, "signature": ""}, said)
called = st.builds(
    lambda t: {"type": "tool_use", "id": "c", "name": "f", "input": {"x": t}}, st.text("ab ", max_size=8)
)
turn = st.one_of(
    st.builds(lambda content: {"role": "user", "content": content}, said | st.lists(told | held | result, max_size=4)),
    st.builds(lambda c: {"role": "assistant", "content": c}, said | st.lists(told | thought | called, max_size=4)),
)


def words(value: Any) -> list[str]:
    """Every text that a conversation says, wherever it stands."""
    match value:
        case str():
            return [value]
        case list():
            return [word for inner in value for word in words(inner)]
        case {"type": "document", "source": {"data": body}, "title": title}:
            return [title, body]
    keys = ("text", "thinking", "content", "x", "input")
    return [word for key in keys if key in value for word in words(value[key])]


@given(st.lists(turn, max_size=4))
def test_every_text_that_is_asked_is_judged(conversation: list[dict[str, Any]]) -> None:
    body = messages.to_chat({**ASKED, "messages": [*conversation, *ASKED["messages"]]})
    judged = "\0".join(passage.text for passage in chat.prompts(body))
    assert all(word in judged for word in words(conversation))
