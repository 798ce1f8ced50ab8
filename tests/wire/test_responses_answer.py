"""What a chat model answers reaches OpenAI's clients as a response object, whole or streamed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import openai
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.responses import Response, ResponseStreamEvent
from support import answers as chatting
from support.answers import answer, stream
from support.exact import exact
from support.saying import answers, cuts
from support.script import Script, Seen
from support.scripted import scripted

from gateway.errors import PolicyBlocked, TooManyRequests, UpstreamTimeout
from gateway.wire import responses, sse

Object = dict[str, Any]

ASKED: Object = {"model": "asked-for", "input": "hi"}
TOKENS = {"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14}


def chatted(message: Object, finish: str | None = "stop", **more: Any) -> Object:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return chatting.completion("") | {"choices": [choice], "usage": TOKENS} | more


def call(arguments: str, ident: str = "c1") -> Object:
    return {"id": ident, "type": "function", "function": {"name": "f", "arguments": arguments}}


def whole(body: Object, **asked: Any) -> Object:
    """The response that a chat answer becomes; OpenAI's own types read it. `store` is in its API, not in its SDK."""
    told = responses.from_chat(body, {**ASKED, **asked})
    exact(Response, told, {"store"})
    return told


def events(raw: bytes) -> list[Object]:
    """The events of a stream: each named as it says it is, numbered in order, as OpenAI's own types read it."""
    decoder = sse.Decoder()
    found = [*decoder.feed(raw), *decoder.finish()]
    told = [orjson.loads(event.data) for event in found]
    assert [event.other for event in found] == [f"event: {data['type']}\n".encode() for data in told]
    assert [data["sequence_number"] for data in told] == list(range(len(told)))
    for data in told:
        exact(ResponseStreamEvent, data, {"store"})
    return told


def streamed(chunks: Sequence[Object]) -> bytes:
    codec = responses.Events(ASKED)
    return b"".join([*(codec.feed(chunk) for chunk in chunks), codec.end()])


def grown(told: Sequence[Object]) -> list[Object]:
    """The items as a client puts them together from the pieces alone; checks each against what it is said to be."""
    items: list[Object] = []
    for event in told:
        match event:
            case {"type": "response.output_item.added", "item": item, "output_index": at}:
                assert at == len(items)
                items.append(item)
            case {"type": "response.content_part.added", "part": part, "output_index": at, "item_id": ident}:
                assert items[at]["id"] == ident
                items[at]["content"].append(part)
            case {"type": "response.function_call_arguments.delta", "delta": delta, "output_index": at}:
                items[at]["arguments"] += delta
            case {"type": str(kind), "delta": delta, "output_index": at, "content_index": inner}:
                part = items[at]["content"][inner]
                part["refusal" if "refusal" in kind else "text"] += delta
            case {"type": "response.content_part.done", "part": part, "output_index": at, "content_index": inner}:
                assert items[at]["content"][inner] == part
            case {"type": "response.output_item.done", "item": item, "output_index": at}:
                items[at]["status"] = item["status"]
                assert items[at] == item
    return items


@settings(deadline=None)  # the SDK's types are slow, and so is a busy machine
@given(answers(), st.data())
def test_whatever_way_an_answer_is_cut_the_stream_says_what_the_whole_does(body: Object, data: st.DataObject) -> None:
    told = events(streamed(data.draw(cuts(body))))
    expected = whole(body)
    assert told[-1]["response"] == expected
    assert told[-1]["type"] == f"response.{expected['status']}"
    assert grown(told) == expected["output"]


@settings(deadline=None)  # as above
@given(answers(), st.data())
def test_items_of_a_stream_are_open_one_at_a_time_and_in_order(body: Object, data: st.DataObject) -> None:
    told = events(streamed(data.draw(cuts(body))))
    assert [event["type"] for event in told[:2]] == ["response.created", "response.in_progress"]
    at, inside = 0, False
    for event in told[2:-1]:
        assert event["output_index"] == at
        assert inside == (event["type"] != "response.output_item.added")
        inside = event["type"] != "response.output_item.done"
        at += not inside
    assert not inside


def test_an_answer_says_what_the_model_said() -> None:
    details = {"prompt_tokens_details": {"cached_tokens": 7}, "completion_tokens_details": {"reasoning_tokens": 1}}
    told = whole(chatted({"content": "hello", "reasoning_content": "hm"}, usage=TOKENS | details))
    part = {"type": "output_text", "text": "hello", "annotations": [], "logprobs": []}
    thought = {"type": "reasoning_text", "text": "hm"}
    assert told["output"] == [
        {"type": "reasoning", "id": "rs_1_0", "status": "completed", "summary": [], "content": [thought]},
        {"type": "message", "id": "msg_1_1", "status": "completed", "role": "assistant", "content": [part]},
    ]
    assert told["usage"] == {
        "input_tokens": 10,
        "input_tokens_details": {"cached_tokens": 7, "cache_write_tokens": 0},
        "output_tokens": 4,
        "output_tokens_details": {"reasoning_tokens": 1},
        "total_tokens": 14,
    }
    assert (told["id"], told["model"], told["created_at"]) == ("resp_1", "scripted", 1_700_000_000)
    assert (told["status"], told["error"], told["incomplete_details"]) == ("completed", None, None)


def test_a_call_is_an_item() -> None:
    told = whole(chatted({"content": None, "tool_calls": [call('{"x": 1}')]}, "tool_calls"))
    function = {"call_id": "c1", "name": "f", "arguments": '{"x": 1}'}
    assert told["output"] == [{"type": "function_call", "id": "fc_1_0", "status": "completed", **function}]


def test_a_refusal_is_one() -> None:
    told = whole(chatted({"content": None, "refusal": "no"}))
    assert told["output"][0]["content"] == [{"type": "refusal", "refusal": "no"}]


@pytest.mark.parametrize(
    ("finish", "status", "reason"),
    [
        ("stop", "completed", None),
        ("tool_calls", "completed", None),
        (None, "completed", None),
        ("eos", "completed", None),
        ("length", "incomplete", "max_output_tokens"),
        ("content_filter", "incomplete", "content_filter"),
    ],
)
def test_why_an_answer_ended(finish: str | None, status: str, reason: str | None) -> None:
    told = whole(chatted({"content": "a", "reasoning_content": "b"}, finish))
    assert told["status"] == status
    assert told["incomplete_details"] == ({"reason": reason} if reason else None)
    assert [item["status"] for item in told["output"]] == ["completed", status]


def test_what_was_asked_goes_back_as_it_came_and_nothing_is_stored() -> None:
    tool = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True}
    asked = {
        "instructions": "be brief",
        "metadata": {"a": "b"},
        "temperature": 0.5,
        "tools": [tool],
        "tool_choice": {"type": "function", "name": "f"},
        "text": {"format": {"type": "json_object"}},
        "reasoning": {"effort": "low"},
        "parallel_tool_calls": False,
        "max_output_tokens": 9,
    }
    told = whole(chatted({"content": "a"}), **asked)
    assert {key: told[key] for key in asked if key != "tools"} == {k: v for k, v in asked.items() if k != "tools"}
    assert told["tools"] == [{**tool, "description": None}]
    assert told["store"] is False


@pytest.mark.parametrize("body", [{}, {"choices": []}, {"choices": [7]}, {"choices": [{}], "id": 7, "created": "x"}])
def test_an_answer_that_says_nothing_is_an_empty_response(body: Object) -> None:
    told = whole(body)
    assert (told["output"], told["model"], told["usage"]) == ([], "asked-for", None)


# How a stream breaks


def test_a_policy_that_cuts_a_stream_leaves_it_incomplete() -> None:
    codec = responses.Events(ASKED)
    raw = codec.feed(chatting.delta("so far")) + codec.fail(PolicyBlocked("Not here."))
    told = events(raw)
    assert told[-1]["type"] == "response.incomplete"
    assert told[-1]["response"]["incomplete_details"] == {"reason": "content_filter"}
    items = grown(told)
    assert told[-1]["response"]["output"] == items
    assert items[0]["status"] == "incomplete"
    assert codec.feed(chatting.delta("more")) + codec.end() + codec.fail(PolicyBlocked("")) == b""


def test_a_stream_cut_before_it_began_is_a_whole_one() -> None:
    told = events(responses.Events(ASKED).fail(PolicyBlocked("Not here.")))
    kinds = ["response.created", "response.in_progress", "response.incomplete"]
    assert [event["type"] for event in told] == kinds


@pytest.mark.parametrize(
    ("error", "code"),
    [(UpstreamTimeout("Too late."), "server_error"), (TooManyRequests("Too late."), "rate_limit_exceeded")],
)
def test_any_other_end_is_a_failure(error: Any, code: str) -> None:
    codec = responses.Events(ASKED)
    told = events(codec.feed(chatting.delta("so far")) + codec.fail(error))
    assert told[-1]["type"] == "response.failed"
    assert told[-1]["response"]["error"] == {"code": code, "message": "Too late."}
    assert told[-1]["response"]["output"] == grown(told)
    assert codec.end() == b""


def test_an_upstream_that_says_it_failed_is_a_failure() -> None:
    told = events(responses.Events(ASKED).feed({"error": {"message": "overheated"}}))
    assert told[-1]["response"]["error"]["message"] == "overheated"


# OpenAI's own client


class Play:
    """Answers `/v1/responses` as the gateway would, out of what a chat model said."""

    def __init__(self, body: Object, chunks: Sequence[Object] = ()) -> None:
        self.body, self.chunks = body, chunks
        self.asked: list[Object] = []

    def __call__(self, seen: Seen) -> Script:
        asked = responses.read(seen.body)
        self.asked.append(responses.to_chat(asked))
        assert seen.target == "/v1/responses"
        if not asked.get("stream"):
            return answer(responses.from_chat(self.body, asked))
        codec = responses.Events(asked)
        return stream([part for part in (*map(codec.feed, self.chunks), codec.end()) if part])


async def with_client(play: Callable[[Seen], Script], use: Callable[[openai.OpenAI], Any]) -> Any:
    async with scripted(play) as server:
        with openai.OpenAI(api_key="k", base_url=server.base_url, max_retries=0, timeout=20) as client:
            return await asyncio.to_thread(use, client)


SAID = chatted({"content": "It rains.", "tool_calls": [call('{"x": 1}')]}, "tool_calls")
CHUNKS = [
    chatting.delta("It "),
    chatting.delta("rains."),
    chatting.delta(tool_calls=[{**call('{"x":'), "index": 0}]),
    chatting.delta(tool_calls=[{"index": 0, "function": {"arguments": " 1}"}}]),
    chatting.delta(finish="tool_calls"),
    chatting.completion("") | {"object": "chat.completion.chunk", "choices": [], "usage": TOKENS},
]


def test_its_client_reads_a_whole_answer_and_a_streamed_one_alike() -> None:
    def use(client: openai.OpenAI) -> tuple[Response, Any, list[str]]:
        told = client.responses.create(model="m", input="hi")
        with client.responses.stream(model="m", input="hi") as streaming:
            texts = [event.snapshot for event in streaming if event.type == "response.output_text.delta"]
            return told, streaming.get_final_response(), texts

    told, final, texts = asyncio.run(with_client(Play(SAID, CHUNKS), use))
    assert texts == ["It ", "It rains."]
    assert told.output_text == final.output_text == "It rains."
    assert (final.usage, final.status, final.id) == (told.usage, told.status, told.id)
    assert final.output[1].arguments == '{"x": 1}'


def test_its_client_goes_on_with_what_it_was_answered() -> None:
    """A loop of tools: the output goes back as it came, with the result."""

    def use(client: openai.OpenAI) -> None:
        said: list[Any] = [{"role": "user", "content": "hi"}]
        told = client.responses.create(model="m", input=said)
        said += [item.to_dict() for item in told.output]
        said.append({"type": "function_call_output", "call_id": "c1", "output": "wet"})
        client.responses.create(model="m", input=said)

    play = Play(chatted({**SAID["choices"][0]["message"], "reasoning_content": "hm"}, "tool_calls"))
    asyncio.run(with_client(play, use))
    model, tool = play.asked[1]["messages"][1:]
    said = {"role": "assistant", "content": "It rains.", "reasoning_content": "hm", "tool_calls": [call('{"x": 1}')]}
    assert model == said
    assert tool == {"role": "tool", "tool_call_id": "c1", "content": "wet"}
