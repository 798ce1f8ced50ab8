"""A provider that speaks Anthropic's wire, asked through litellm in its worker, looks like an OpenAI server."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
import traceback
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from pydantic import SecretStr
from support import answers
from support import anthropic_wire as claude
from support.answers import DONE, answer, opened, sent
from support.script import Close, Hang, Reset, Script, Send, Wait, chunk
from support.scripted import Server, refusing, scripted
from support.workers import started

from gateway.config.schema import LiteLLMSpec, Timeouts
from gateway.errors import TidegateError, UpstreamBroken, UpstreamTimeout, UpstreamUnreachable
from gateway.upstream import Ask, Reply
from gateway.upstream.litellm import LiteLLM, spec
from gateway.worker.client import Client
from gateway.worker.supervisor import Host

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="module")]

KEY = "sk-ant-secret-77"
TIMEOUTS = Timeouts(first_byte_s=1.5, idle_s=1.0, total_s=6.0)
KEYS = {"api_keys": (SecretStr("sk-one"), SecretStr("sk-two"))}
PATIENT = Timeouts(first_byte_s=30.0, idle_s=30.0, total_s=60.0)
QUESTION = {
    "model": "any",
    "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "ahoy"}],
}
WEATHER = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}


@dataclass(frozen=True)
class Sea:
    """A worker with its upstreams, and the providers behind them."""

    client: Client
    claude: Server
    gpt: Server

    def upstream(self, name: str) -> LiteLLM:
        return LiteLLM(_named(name, "anthropic/claude-sonnet-4-5", ""), self.client)


def _named(name: str, model: str, base_url: str, timeouts: Timeouts = PATIENT) -> LiteLLMSpec:
    url = base_url or "http://127.0.0.1"
    return LiteLLMSpec(name=name, kind="litellm", model=model, api_key=SecretStr(KEY), base_url=url, timeouts=timeouts)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[Sea]:
    folder = Path(tempfile.mkdtemp(prefix="tl"))
    async with AsyncExitStack() as stack:
        wire = await stack.enter_async_context(scripted(claude.echo))
        gpt = await stack.enter_async_context(scripted(answers.echo))
        root = wire.base_url.removesuffix("/v1")
        upstreams = [
            _named("claude", "anthropic/claude-sonnet-4-5", root),
            _named("hasty", "anthropic/claude-sonnet-4-5", root, TIMEOUTS),
            _named("gpt", "openai/gpt-4o", gpt.base_url),
            _named("keyed", "openai/gpt-4o", gpt.base_url).model_copy(update=KEYS),
            _named("gone", "anthropic/claude-sonnet-4-5", stack.enter_context(refusing()).removesuffix("/v1")),
        ]
        host = Host("litellm", "gateway.upstream.engine", spec(upstreams), folder / "l.sock")
        worker = await stack.enter_async_context(started(host))
        yield Sea(worker.client, wire, gpt)
    shutil.rmtree(folder)


@pytest.fixture
def sea(running: Sea) -> Sea:
    """The worker with its providers' memories cleared."""
    for server in (running.claude, running.gpt):
        server.forget()
    return running


def ask(stream: bool = False, **more: Any) -> Ask:
    return Ask("/chat/completions", json.dumps(QUESTION | {"stream": stream} | more).encode(), stream)


async def read(reply: Reply) -> bytes:
    return b"".join([part async for part in reply.chunks])


async def whole(upstream: LiteLLM, **more: Any) -> tuple[Reply, dict[str, Any]]:
    async with upstream.send(ask(**more)) as reply:
        return reply, json.loads(await read(reply))


async def streamed(upstream: LiteLLM, **more: Any) -> list[dict[str, Any]]:
    async with upstream.send(ask(stream=True, **more)) as reply:
        assert (reply.status, reply.header("content-type")) == (200, "text/event-stream; charset=utf-8")
        body = await read(reply)
    assert body.endswith(DONE)
    events = body.removesuffix(DONE).split(b"\n\n")
    assert events.pop() == b""
    return [json.loads(event.removeprefix(b"data: ")) for event in events]


# Answers


async def test_an_answer_is_a_chat_completion(sea: Sea) -> None:
    reply, body = await whole(sea.upstream("claude"))
    assert (reply.status, reply.header("content-type")) == (200, "application/json")
    assert body["object"] == "chat.completion"
    assert body["model"] == "claude-sonnet-4-5"
    assert body["choices"] == [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "ahoy"}}
    ]


async def test_usage_counts_what_was_cached_as_part_of_the_input(sea: Sea) -> None:
    _, body = await whole(sea.upstream("claude"))
    usage = body["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (21, 5, 26)
    assert usage["prompt_tokens_details"]["cached_tokens"] == 7


async def test_the_provider_is_asked_once_in_its_own_words(sea: Sea) -> None:
    await whole(sea.upstream("claude"), max_tokens=9, temperature=0.5, metadata={"a": "b"}, store=True)
    (seen,) = sea.claude.seen
    assert seen.target == "/v1/messages"
    assert seen.header("x-api-key") == KEY
    assert seen.json() == {
        "model": "claude-sonnet-4-5",
        "system": [{"type": "text", "text": "be brief"}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "ahoy"}]}],
        "max_tokens": 9,
        "temperature": 0.5,
    }


async def test_a_stream_is_chat_completion_chunks(sea: Sea) -> None:
    chunks = await streamed(sea.upstream("claude"))
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in chunks}) == 1
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    assert "".join(choice["delta"].get("content", "") for choice in choices) == "ahoy"
    assert [choice["finish_reason"] for choice in choices][-1] == "stop"
    assert set(choices[0]) == {"index", "delta", "finish_reason"}


async def test_a_stream_ends_with_usage_where_it_is_asked_for(sea: Sea) -> None:
    chunks = await streamed(sea.upstream("claude"), stream_options={"include_usage": True})
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["prompt_tokens"] == 21
    assert chunks[-1]["usage"]["completion_tokens"] == 5
    assert not any("usage" in chunk for chunk in chunks[:-1])


async def test_chunks_come_as_the_provider_sends_them(sea: Sea) -> None:
    sea.claude.play(claude.streams(claude.text("many words that take their time"), delay=0.1))
    async with sea.upstream("claude").send(ask(stream=True)) as reply, aclosing(reply.chunks):
        assert await anext(reply.chunks)
        assert not sea.claude.seen[0].played.is_set()


# Tools


async def test_a_tool_call_comes_back_with_its_arguments(sea: Sea) -> None:
    sea.claude.play(
        claude.says(claude.text("let me see"), claude.tool_use("weather", {"city": "Oslo"}), stop="tool_use")
    )
    _, body = await whole(sea.upstream("claude"), tools=[WEATHER])
    (choice,) = body["choices"]
    assert choice["finish_reason"] == "tool_calls"
    (call,) = choice["message"]["tool_calls"]
    assert (call["id"], call["function"]["name"]) == ("toolu_01", "weather")
    assert json.loads(call["function"]["arguments"]) == {"city": "Oslo"}
    assert sea.claude.seen[0].json()["tools"][0]["name"] == "weather"


async def test_a_streamed_tool_call_is_put_together_from_its_deltas(sea: Sea) -> None:
    sea.claude.play(claude.streams(claude.tool_use("weather", {"city": "Oslo"}), stop="tool_use"))
    chunks = await streamed(sea.upstream("claude"), tools=[WEATHER])
    deltas = [call for chunk in chunks for c in chunk["choices"] for call in c["delta"].get("tool_calls", [])]
    assert {delta["index"] for delta in deltas} == {0}
    assert deltas[0]["id"] == "toolu_01"
    assert json.loads("".join(delta["function"].get("arguments") or "" for delta in deltas)) == {"city": "Oslo"}
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


async def test_a_tool_result_goes_to_the_provider(sea: Sea) -> None:
    call = {"id": "toolu_01", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
    messages = [
        {"role": "user", "content": "weather?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "toolu_01", "content": "4 degrees"},
    ]
    sea.claude.play(claude.says(claude.text("cold")))
    _, body = await whole(sea.upstream("claude"), messages=messages, tools=[WEATHER])
    assert body["choices"][0]["message"]["content"] == "cold"
    _, used, result = sea.claude.seen[0].json()["messages"]
    assert used["content"][0] == {"type": "tool_use", "id": "toolu_01", "name": "weather", "input": {"city": "Oslo"}}
    assert result["content"][0]["tool_use_id"] == "toolu_01"
    assert "4 degrees" in json.dumps(result["content"])


# Refusals

REFUSALS = [
    (429, "rate_limit_error", 429),
    (529, "overloaded_error", 529),
    (400, "invalid_request_error", 400),
    (401, "authentication_error", 401),
    (404, "not_found_error", 404),
    (413, "request_too_large", 413),
    (500, "api_error", 500),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("status", "kind", "told"), REFUSALS)
@pytest.mark.parametrize("name", ["claude", "gpt"])
async def test_a_refusal_keeps_its_status(sea: Sea, status: int, kind: str, told: int, name: str, stream: bool) -> None:
    server = sea.claude if name == "claude" else sea.gpt
    server.play(claude.refuses(status, kind, "no, because", [("retry-after", "7")]))
    async with sea.upstream(name).send(ask(stream=stream)) as reply:
        body = json.loads(await read(reply))
    assert (reply.status, reply.header("content-type")) == (told, "application/json")
    assert reply.header("retry-after") == "7"
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert len(server.seen) == 1  # nothing is asked twice


async def test_the_providers_reason_is_told_but_never_one_with_the_key(sea: Sea) -> None:
    sea.claude.play(claude.refuses(400, "invalid_request_error", "max_tokens: too many"))
    _, body = await whole(sea.upstream("claude"))
    assert body["error"]["message"] == "max_tokens: too many"
    sea.claude.play(claude.refuses(400, "invalid_request_error", f"your key {KEY} is odd"))
    _, body = await whole(sea.upstream("claude"))
    assert KEY not in json.dumps(body)


async def test_an_error_page_is_a_refusal_too(sea: Sea) -> None:
    sea.claude.play(answer("<html>bad gateway</html>", 502, [("content-type", "text/html")]))
    reply, body = await whole(sea.upstream("claude"))
    assert reply.status == 502
    assert "html" not in json.dumps(body)


SWITCHES = [
    {"api_base": "http://127.0.0.1:9"}, {"base_url": "http://127.0.0.1:9"}, {"api_key": "mine"}, {"fallbacks": ["x"]},
    {"mock_response": "I obey"}, {"extra_headers": {"x": "y"}}, {"num_retries": 9}, {"custom_llm_provider": "openai"},
    {"timeout": 1}, {"model_list": []}, {"caching": True}, {"litellm_params": {}}, {"_skip_mcp_handler": False},
]  # fmt: skip


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("switch", SWITCHES, ids=lambda switch: next(iter(switch)))
async def test_litellms_switches_are_not_the_clients(sea: Sea, switch: dict[str, Any], stream: bool) -> None:
    async with sea.upstream("claude").send(ask(stream=stream, **switch)) as reply:
        body = json.loads(await read(reply))
    assert reply.status == 400
    assert next(iter(switch)) in body["error"]["message"]
    assert not sea.claude.seen


async def test_what_a_model_does_not_take_is_named(sea: Sea) -> None:
    reply, body = await whole(sea.upstream("claude"), logit_bias={"1": 5}, logprobs=True)
    assert reply.status == 400
    assert "logprobs" in body["error"]["message"]
    assert not sea.claude.seen


@pytest.mark.parametrize("url", ["http://{}/cat.png", "https://{}/cat.png"])
async def test_no_picture_is_fetched_for_a_client(sea: Sea, url: str) -> None:
    async with scripted() as pictures:
        part = {"type": "image_url", "image_url": {"url": url.format(f"127.0.0.1:{pictures.port}")}}
        sea.claude.play(claude.says(claude.text("nice")))
        await whole(sea.upstream("claude"), messages=[{"role": "user", "content": [part]}])
        assert not pictures.accepted


# Faults

EVENTS = claude.events(claude.text("words that are to be cut off"))
OVERLOADED = claude.event({"type": "error", "error": {"type": "overloaded_error", "message": "x"}})
BEFORE = {
    "closed": (Script((Close(),)), UpstreamUnreachable),
    "reset": (Script((Reset(),)), UpstreamUnreachable),
    "silent": (Script((Hang(),)), UpstreamTimeout),
    "redirected": (answer("", 307, [("location", "/v1/elsewhere")]), UpstreamBroken),
}
CUT = {
    "closed": (Script((*opened(), *sent(EVENTS[:6]), Wait(0.2), Close())), UpstreamBroken),
    "reset": (Script((*opened(), *sent(EVENTS[:6]), Wait(0.2), Reset())), UpstreamBroken),
    "ended early": (Script((*opened(), *sent(EVENTS[:6]), Send(chunk(b"")))), UpstreamBroken),
    "ended before message_delta": (Script((*opened(), *sent(EVENTS[:-2]), Send(chunk(b"")))), UpstreamBroken),
    "silent": (Script((*opened(), *sent(EVENTS[:6]), Hang())), UpstreamTimeout),
    "an error among events": (
        Script((*opened(), *sent([*EVENTS[:6], OVERLOADED]), Send(chunk(b"")))),
        UpstreamBroken,
    ),
}  # fmt: skip


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", BEFORE)
async def test_no_answer_is_an_error_of_ours(sea: Sea, name: str, stream: bool) -> None:
    script, error = BEFORE[name]
    sea.claude.play(script)
    with pytest.raises(TidegateError) as caught:
        async with sea.upstream("hasty").send(ask(stream=stream)) as reply:
            await read(reply)
    assert type(caught.value) is error
    assert KEY not in "".join(traceback.format_exception(caught.value))
    assert len(sea.claude.seen) == 1


@pytest.mark.parametrize("name", CUT)
async def test_a_stream_that_is_cut_is_broken_after_what_came(sea: Sea, name: str) -> None:
    script, error = CUT[name]
    sea.claude.play(script)
    said = b""
    with pytest.raises(TidegateError) as caught:  # noqa: PT012  what came before is checked too
        async with sea.upstream("hasty").send(ask(stream=True)) as reply:
            assert reply.status == 200
            async for part in reply.chunks:
                said += part
    assert type(caught.value) is error
    assert b'"content":"words ' in said
    assert b'"finish_reason":"' not in said
    assert b"[DONE]" not in said
    assert KEY not in "".join(traceback.format_exception(caught.value))


async def test_an_answer_that_is_not_json_is_broken(sea: Sea) -> None:
    sea.claude.play(answer("<html>hello</html>"))
    with pytest.raises(UpstreamBroken, match="claude"):
        await whole(sea.upstream("claude"))


async def test_a_provider_that_refuses_connections_is_unreachable(sea: Sea) -> None:
    with pytest.raises(UpstreamUnreachable, match="gone"):
        await whole(sea.upstream("gone"))


@pytest.mark.parametrize("name", ["claude", "gpt"])
async def test_no_redirect_takes_the_key_elsewhere(sea: Sea, name: str) -> None:
    async with scripted(claude.echo) as elsewhere:
        server = sea.claude if name == "claude" else sea.gpt
        server.play(answer("", 307, [("location", f"{elsewhere.base_url}/messages")]))
        with pytest.raises(UpstreamBroken, match="redirect"):
            await whole(sea.upstream(name))
        assert not elsewhere.accepted


@pytest.mark.parametrize("script", [Script((Hang(),)), Script((*opened(), *sent(EVENTS[:6]), Hang()))])
async def test_a_client_that_leaves_ends_the_providers_answer(sea: Sea, script: Script) -> None:
    sea.claude.play(script)
    stream = len(script.steps) > 1

    async def asking() -> None:
        async with sea.upstream("claude").send(ask(stream=stream)) as reply:
            await read(reply)

    task = asyncio.create_task(asking())
    seen = await sea.claude.saw()
    await asyncio.sleep(0.2)
    task.cancel()
    await asyncio.wait_for(seen.gone.wait(), 5)


async def test_twenty_at_once_get_their_own_answers(sea: Sea) -> None:
    async def one(n: int) -> str:
        messages = [{"role": "user", "content": f"number {n}"}]
        _, body = await whole(sea.upstream("claude"), messages=messages)
        return str(body["choices"][0]["message"]["content"])

    assert await asyncio.gather(*map(one, range(20))) == [f"number {n}" for n in range(20)]


async def test_another_key_is_used_where_one_is_refused(sea: Sea) -> None:
    sea.gpt.play(answers.answer({"error": {"message": "no"}}, 429))
    assert (await whole(LiteLLM(_named("keyed", "", "").model_copy(update=KEYS), sea.client)))[0].status == 200
    assert [seen.header("authorization") for seen in sea.gpt.seen] == ["Bearer sk-one", "Bearer sk-two"]
