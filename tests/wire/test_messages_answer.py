"""What a chat model answers reaches Anthropic's clients as their own message, whole or streamed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import anthropic
import orjson
import pytest
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import Message, RawMessageStreamEvent
from anthropic.types.shared import ErrorResponse
from hypothesis import given, settings
from hypothesis import strategies as st
from support import answers as chatting
from support.answers import answer, stream
from support.exact import exact
from support.saying import answers, cuts
from support.script import Script, Seen
from support.scripted import scripted

from gateway import errors
from gateway.errors import PolicyBlocked, TidegateError, UpstreamBroken, UpstreamTimeout
from gateway.wire import messages, sse

Object = dict[str, Any]

ASKED: Object = {"model": "asked-for", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
TOKENS = {"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14}


def chatted(message: Object, finish: str | None = "stop", **more: Any) -> Object:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return chatting.completion("") | {"choices": [choice], "usage": TOKENS} | more


def call(arguments: str, ident: str = "c1") -> Object:
    return {"id": ident, "type": "function", "function": {"name": "f", "arguments": arguments}}


def whole(body: Object) -> Object:
    """The message that a chat answer becomes; Anthropic's own types read it."""
    told = messages.from_chat(body, ASKED)
    exact(Message, told)
    return told


def events(raw: bytes) -> list[Object]:
    """The events of a stream, each named as it says it is."""
    decoder = sse.Decoder()
    found = [*decoder.feed(raw), *decoder.finish()]
    told = [orjson.loads(event.data) for event in found]
    assert [event.other for event in found] == [f"event: {data['type']}\n".encode() for data in told]
    return told


def streamed(chunks: Sequence[Object]) -> bytes:
    codec = messages.Events(ASKED)
    return b"".join([*(codec.feed(chunk) for chunk in chunks), codec.end()])


def assembled(raw: bytes) -> Object:
    """The message that Anthropic's SDK makes of a stream."""
    snapshot: Any = None
    buffers: dict[int, bytes] = {}
    for data in events(raw):
        event = exact(RawMessageStreamEvent, data)
        snapshot = accumulate_event(event=event, current_snapshot=snapshot, json_bufs=buffers)
    told: Object = snapshot.to_dict()
    return told


@settings(deadline=None)  # the SDK's types are slow, and so is a busy machine
@given(answers(), st.data())
def test_whatever_way_an_answer_is_cut_the_stream_says_what_the_whole_does(body: Object, data: st.DataObject) -> None:
    assert assembled(streamed(data.draw(cuts(body)))) == whole(body)


@settings(deadline=None)  # the SDK's types are slow, and so is a busy machine
@given(answers(), st.data())
def test_blocks_of_a_stream_are_open_one_at_a_time_and_in_order(body: Object, data: st.DataObject) -> None:
    told = events(streamed(data.draw(cuts(body))))
    assert [e["type"] for e in (told[0], *told[-2:])] == ["message_start", "message_delta", "message_stop"]
    at, inside = 0, False
    for event in told[1:-2]:
        assert event["index"] == at
        assert inside == (event["type"] != "content_block_start")
        inside = event["type"] != "content_block_stop"
        at += event["type"] == "content_block_stop"
    assert not inside


def test_an_answer_says_what_the_model_said() -> None:
    body = chatted(
        {"content": "hello", "reasoning_content": "hm"}, usage=TOKENS | {"prompt_tokens_details": {"cached_tokens": 7}}
    )
    assert whole(body) == {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "scripted",
        "content": [{"type": "thinking", "thinking": "hm", "signature": ""}, {"type": "text", "text": "hello"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "stop_details": None,
        "usage": {
            "input_tokens": 3,
            "cache_read_input_tokens": 7,
            "cache_creation_input_tokens": 0,
            "output_tokens": 4,
        },
    }


def test_a_call_is_a_block_with_its_input_read() -> None:
    told = whole(chatted({"content": None, "tool_calls": [call('{"x": [1]}'), call("", "c2")]}, "tool_calls"))
    assert told["stop_reason"] == "tool_use"
    assert told["content"] == [
        {"type": "tool_use", "id": "c1", "name": "f", "input": {"x": [1]}},
        {"type": "tool_use", "id": "c2", "name": "f", "input": {}},
    ]


def test_arguments_that_are_no_object_are_the_upstreams_fault() -> None:
    with pytest.raises(UpstreamBroken):
        messages.from_chat(chatted({"tool_calls": [call("[1]")]}, "tool_calls"), ASKED)


def test_a_call_that_ran_out_of_tokens_is_left_out() -> None:
    told = whole(chatted({"content": "so", "tool_calls": [call('{"x"')]}, "length"))
    assert (told["content"], told["stop_reason"]) == ([{"type": "text", "text": "so"}], "max_tokens")


@pytest.mark.parametrize(
    ("message", "finish", "more", "stop"),
    [
        ({"content": "a"}, "stop", {}, ("end_turn", None)),
        ({"content": "a"}, "stop", {"stop_reason": "END"}, ("stop_sequence", "END")),
        ({"content": "a"}, "stop", {"stop_reason": 128001}, ("end_turn", None)),
        ({"content": "a"}, "length", {}, ("max_tokens", None)),
        ({"content": "a"}, "content_filter", {}, ("refusal", None)),
        ({"content": "a"}, "eos", {}, ("end_turn", None)),
        ({"content": "a"}, None, {}, (None, None)),
        ({"refusal": "no"}, "stop", {}, ("refusal", None)),
        ({"tool_calls": [call("{}")]}, "tool_calls", {}, ("tool_use", None)),
        ({"tool_calls": [call("{}")]}, "stop", {}, ("tool_use", None)),
    ],
)
def test_why_an_answer_ended(message: Object, finish: str | None, more: Object, stop: tuple[Any, Any]) -> None:
    body = chatted(message, finish)
    body["choices"][0] |= more
    told = whole(body)
    assert (told["stop_reason"], told["stop_sequence"]) == stop


@pytest.mark.parametrize("body", [{}, {"choices": []}, {"choices": [7]}, {"choices": [{}], "id": 7, "model": 7}])
def test_an_answer_that_says_nothing_is_an_empty_message(body: Object) -> None:
    told = whole(body)
    assert (told["content"], told["model"]) == ([], "asked-for")


def test_other_choices_are_nobodys() -> None:
    chunk = chatting.delta("mine")
    chunk["choices"].insert(0, {"index": 1, "delta": {"content": "other"}})
    assert assembled(streamed([chunk, chatting.delta(finish="stop")]))["content"] == [{"type": "text", "text": "mine"}]


# How a stream breaks


def test_a_policy_that_cuts_a_stream_is_a_refusal() -> None:
    codec = messages.Events(ASKED)
    raw = codec.feed(chatting.delta("so far")) + codec.fail(PolicyBlocked("Not here."))
    told = assembled(raw)
    assert told["content"] == [{"type": "text", "text": "so far"}]
    assert told["stop_reason"] == "refusal"
    assert told["stop_details"]["explanation"] == "Not here."
    assert codec.feed(chatting.delta("more")) + codec.end() + codec.fail(PolicyBlocked("")) == b""


def test_a_stream_cut_before_it_began_is_a_whole_one() -> None:
    assert assembled(messages.Events(ASKED).fail(PolicyBlocked("Not here.")))["stop_reason"] == "refusal"


def test_any_other_end_is_an_error() -> None:
    codec = messages.Events(ASKED)
    codec.feed(chatting.delta("so far"))
    (told,) = events(codec.fail(UpstreamTimeout("Too late.")))
    assert exact(ErrorResponse, told).error.type == "timeout_error"
    assert codec.end() == b""


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ({"message": "overheated"}, "overheated"),
        ("overheated", "overheated"),
        ({"code": 7}, "The upstream failed in the middle of its answer."),
    ],
)
def test_an_upstream_that_says_it_failed_is_an_error(error: Any, said: str) -> None:
    codec = messages.Events(ASKED)
    (told,) = events(codec.feed({"error": error}))
    assert told["error"] == {"type": "api_error", "message": said}
    assert codec.feed(chatting.delta("more")) == b""


def every(root: type[TidegateError]) -> Iterator[type[TidegateError]]:
    for kind in root.__subclasses__():
        yield from (kind, *every(kind))


@pytest.mark.parametrize("kind", sorted(set(every(TidegateError)) - {errors.ConfigError}, key=str))
def test_every_error_has_anthropics_word(kind: type[TidegateError]) -> None:
    told = orjson.loads(messages.envelope(kind("said"), "req_1"))
    if kind is errors.TooLarge:
        assert told["error"]["type"] == "request_too_large"  # in Anthropic's reference, not in its SDK
        return
    found = exact(ErrorResponse, told)
    assert (found.request_id, found.error.message) == ("req_1", "said")
    assert (found.error.type in {"api_error", "overloaded_error", "timeout_error"}) == (
        kind.status >= 500 and kind.status != 501
    )


# Anthropic's own client


class Play:
    """Answers `/v1/messages` as the gateway would, out of what a chat model said."""

    def __init__(self, body: Object, chunks: Sequence[Object] = ()) -> None:
        self.body, self.chunks = body, chunks

    def __call__(self, seen: Seen) -> Script:
        asked = messages.read(seen.body)
        messages.to_chat(asked)
        assert seen.target == "/v1/messages"
        assert seen.header("authorization") == "Bearer k"
        if not asked.get("stream"):
            return answer(messages.from_chat(self.body, asked))
        codec = messages.Events(asked)
        return stream([part for part in (*map(codec.feed, self.chunks), codec.end()) if part])


async def with_client(play: Callable[[Seen], Script], use: Callable[[anthropic.Anthropic], Any]) -> Any:
    async with scripted(play) as server:
        base = server.base_url.removesuffix("/v1")
        with anthropic.Anthropic(api_key="k", base_url=base, max_retries=0, timeout=20) as client:
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
    def use(client: anthropic.Anthropic) -> tuple[Message, Message, str]:
        asked: Any = dict(ASKED)
        told = client.messages.create(**asked)
        with client.messages.stream(**asked) as streaming:
            text = "".join(streaming.text_stream)
            return told, streaming.get_final_message(), text

    told, final, text = asyncio.run(with_client(Play(SAID, CHUNKS), use))
    assert text == "It rains."
    assert final.to_dict() == told.to_dict()
    assert told.content[1].input == {"x": 1}
    assert told.usage.input_tokens == 10


def test_its_client_goes_on_with_what_it_was_answered() -> None:
    """A loop of tools: the answer goes back as it came, with the result."""

    def use(client: anthropic.Anthropic) -> str:
        said: list[Any] = [{"role": "user", "content": "hi"}]
        told = client.messages.create(model="m", max_tokens=9, messages=said)
        result = {"type": "tool_result", "tool_use_id": told.content[1].id, "content": "wet"}  # type: ignore[union-attr]  # a call
        said += [told.to_param(), {"role": "user", "content": [result]}]
        client.messages.create(model="m", max_tokens=9, messages=said)
        return "ok"

    asked: list[Object] = []

    def play(seen: Seen) -> Script:
        asked.append(messages.to_chat(messages.read(seen.body)))
        return Play(SAID)(seen)

    assert asyncio.run(with_client(play, use)) == "ok"
    model, tool = asked[1]["messages"][1:]
    assert model == {"role": "assistant", "content": "It rains.", "tool_calls": [call('{"x":1}')]}
    assert tool == {"role": "tool", "tool_call_id": "c1", "content": "wet"}


def test_its_client_raises_what_the_envelope_says() -> None:
    def play(_: Seen) -> Script:
        return answer(messages.envelope(errors.TooManyRequests("slow down"), "req_9"), 429)

    def use(client: anthropic.Anthropic) -> None:
        client.messages.create(model="m", max_tokens=9, messages=[{"role": "user", "content": "hi"}])

    with pytest.raises(anthropic.RateLimitError) as raised:
        asyncio.run(with_client(play, use))
    assert raised.value.type == "rate_limit_error"


def test_its_client_raises_where_a_stream_breaks() -> None:
    def play(seen: Seen) -> Script:
        codec = messages.Events(messages.read(seen.body))
        return stream([codec.feed(chatting.delta("It ")), codec.fail(UpstreamBroken("gone"))])

    def use(client: anthropic.Anthropic) -> None:
        with client.messages.stream(model="m", max_tokens=9, messages=[{"role": "user", "content": "hi"}]) as streaming:
            streaming.get_final_message()

    with pytest.raises(anthropic.APIStatusError, match="gone"):
        asyncio.run(with_client(play, use))
