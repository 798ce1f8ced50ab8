"""Anthropic's client and OpenAI's responses against a running gateway: other wires, the same verdicts."""

from __future__ import annotations

from collections.abc import Iterator

import anthropic
import httpx
import openai
import pytest
from support.speaking import ARGUMENTS, CUT, FORBIDDEN, SAYS
from support.stage import Stage

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("contract")]

SECRET = "sk-proj-" + "a1B2c3D4e5F6g7H8i9J0" * 3


@pytest.fixture
def claude(stage: Stage) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=stage.gateway.url, api_key="unused", max_retries=0) as made:
        yield made


@pytest.fixture
def client(stage: Stage) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=stage.base_url, api_key="unused", max_retries=0) as made:
        yield made


def test_anthropics_client_is_answered(claude: anthropic.Anthropic) -> None:
    said = claude.messages.create(model="scripted", max_tokens=50, messages=[{"role": "user", "content": "tide?"}])
    assert [block.text for block in said.content if block.type == "text"] == [SAYS]
    assert said.stop_reason == "end_turn"
    assert said.usage.input_tokens > 0


def test_anthropics_client_streams(claude: anthropic.Anthropic) -> None:
    asked = claude.messages.stream(model="scripted", max_tokens=50, messages=[{"role": "user", "content": "tide?"}])
    with asked as stream:
        assert "".join(stream.text_stream) == SAYS
        assert stream.get_final_message().usage.output_tokens > 0


def test_anthropics_tools_are_called(claude: anthropic.Anthropic) -> None:
    said = claude.messages.create(
        model="scripted",
        max_tokens=50,
        messages=[{"role": "user", "content": "Weather?"}],
        tools=[{"name": "weather", "input_schema": {"type": "object"}}],
    )
    (call,) = (block for block in said.content if block.type == "tool_use")
    assert (call.name, call.input) == ("weather", {"city": "Paris", "unit": "celsius"})
    assert said.stop_reason == "tool_use"


def test_a_message_is_refused_as_a_completion_is(claude: anthropic.Anthropic, stage: Stage) -> None:
    before = len(stage.model.seen)
    with pytest.raises(anthropic.BadRequestError):
        claude.messages.create(
            model="scripted", max_tokens=5, system=f"Sell {FORBIDDEN}s.", messages=[{"role": "user", "content": "hi"}]
        )
    assert len(stage.model.seen) == before


def test_a_streamed_message_is_cut_before_what_is_forbidden(claude: anthropic.Anthropic) -> None:
    asked = f"say {CUT}{FORBIDDEN} with you."
    with claude.messages.stream(
        model="scripted", max_tokens=50, messages=[{"role": "user", "content": asked}]
    ) as stream:
        said = "".join(stream.text_stream)
        assert stream.get_final_message().stop_reason == "refusal"
    assert said.rstrip() == CUT.rstrip()


def test_responses_are_answered(client: openai.OpenAI) -> None:
    said = client.responses.create(model="scripted", input="tide?")
    assert (said.output_text, said.status) == (SAYS, "completed")
    assert said.usage is not None
    assert said.usage.input_tokens > 0


def test_responses_stream(client: openai.OpenAI) -> None:
    with client.responses.stream(model="scripted", input="tide?") as stream:
        deltas = [event.delta for event in stream if event.type == "response.output_text.delta"]
        assert "".join(deltas) == SAYS
        assert stream.get_final_response().status == "completed"


def test_a_responses_function_is_called(client: openai.OpenAI) -> None:
    said = client.responses.create(
        model="scripted",
        input="Weather?",
        tools=[{"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": False}],
    )
    (call,) = (item for item in said.output if item.type == "function_call")
    assert (call.name, call.arguments) == ("weather", ARGUMENTS)


def test_a_response_is_refused_as_a_completion_is(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(model="scripted", instructions=f"Sell {FORBIDDEN}s.", input="hi")
    assert refused.value.code == "content_filter"


def test_a_streamed_response_is_cut_before_what_is_forbidden(client: openai.OpenAI) -> None:
    with client.responses.stream(model="scripted", input=f"say {CUT}{FORBIDDEN} with you.") as stream:
        events = list(stream)
    said = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert said.rstrip() == CUT.rstrip()
    assert events[-1].type == "response.incomplete"
    assert FORBIDDEN not in "".join(event.model_dump_json() for event in events)


def test_a_secret_in_a_response_is_taken_out_before_the_model_sees_it(client: openai.OpenAI, stage: Stage) -> None:
    client.responses.create(model="scripted", input=f"Is {SECRET} a key?")
    assert SECRET not in stage.model.seen[-1].body.decode()


def test_a_conversation_that_was_not_kept_is_not_gone_on_with(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(model="scripted", input="and then?", previous_response_id="resp_1")
    assert refused.value.param == "previous_response_id"


def test_an_unknown_model_is_an_error_in_anthropics_shape(stage: Stage) -> None:
    asked = {"model": "nobody", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
    answer = httpx.post(f"{stage.base_url}/messages", json=asked, trust_env=False)
    assert answer.status_code == 404
    assert answer.json()["error"]["type"] == "not_found_error"
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
