"""The official Python client against a running gateway: what applications rely upon works as with OpenAI itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam
from pydantic import BaseModel
from support.speaking import ARGUMENTS, CUT, FORBIDDEN, LOGPROB, SAYS
from support.stage import Stage

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("contract")]

TOOL: ChatCompletionToolParam = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}


class Weather(BaseModel):
    city: str
    degrees: int


@pytest.fixture
def client(stage: Stage) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=stage.base_url, api_key="unused", max_retries=0) as made:
        yield made


def user(text: str) -> list[ChatCompletionMessageParam]:
    return [{"role": "user", "content": text}]


def test_a_plain_answer_comes_with_its_usage(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="scripted", messages=user("When is the tide?"))
    assert answer.choices[0].message.content == SAYS
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.total_tokens > 0


def test_what_only_this_model_knows_reaches_the_application(client: openai.OpenAI, stage: Stage) -> None:
    extra: dict[str, Any] = {"top_k": 7, "chat_template_kwargs": {"enable_thinking": False}}
    client.chat.completions.create(model="scripted", messages=user("hi"), temperature=0.5, extra_body=extra)
    assert extra.items() <= stage.model.seen[-1].json().items()


def test_a_stream_says_the_same_as_a_whole_answer(client: openai.OpenAI) -> None:
    with client.chat.completions.create(model="scripted", messages=user("go on"), stream=True) as stream:
        chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == SAYS
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(chunk.usage is None for chunk in chunks)


def test_usage_ends_a_stream_that_asked_for_it(client: openai.OpenAI) -> None:
    options: Any = {"include_usage": True}
    with client.chat.completions.create(
        model="scripted", messages=user("go on"), stream=True, stream_options=options
    ) as stream:
        *_, last = stream
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.completion_tokens == 9


async def test_the_asynchronous_client_streams(stage: Stage) -> None:
    async with openai.AsyncOpenAI(base_url=stage.base_url, api_key="unused", max_retries=0) as client:
        stream = await client.chat.completions.create(model="scripted", messages=user("go on"), stream=True)
        said = [chunk.choices[0].delta.content or "" async for chunk in stream]
    assert "".join(said) == SAYS


async def test_leaving_a_stream_leaves_the_model(stage: Stage) -> None:
    async with openai.AsyncOpenAI(base_url=stage.base_url, api_key="unused", max_retries=0) as client:
        for _ in range(3):
            stream = await client.chat.completions.create(model="scripted", messages=user("go on"), stream=True)
            await anext(stream)
            await stream.close()
        answer = await client.chat.completions.create(model="scripted", messages=user("and now?"))
    assert answer.choices[0].message.content == SAYS


def test_a_tool_is_called(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="scripted", messages=user("Weather?"), tools=[TOOL])
    (call,) = answer.choices[0].message.tool_calls or []
    assert call.type == "function"
    assert (call.function.name, call.id) == ("weather", "call_1")
    assert answer.choices[0].finish_reason == "tool_calls"


def test_a_tool_call_is_put_together_from_a_stream(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(model="scripted", messages=user("Weather?"), tools=[TOOL]) as stream:
        final = stream.get_final_completion()
    (call,) = final.choices[0].message.tool_calls or []
    assert call.function.arguments == ARGUMENTS


def test_a_tools_result_is_answered(client: openai.OpenAI, stage: Stage) -> None:
    call: Any = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    messages: list[ChatCompletionMessageParam] = [
        *user("Weather?"),
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "21 degrees"},
    ]
    assert client.chat.completions.create(model="scripted", messages=messages).choices[0].message.content == SAYS
    assert stage.model.seen[-1].json()["messages"] == messages


def test_every_choice_arrives(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="scripted", messages=user("twice"), n=2)
    assert [choice.message.content for choice in answer.choices] == [SAYS, SAYS]
    said = ["", ""]
    with client.chat.completions.create(model="scripted", messages=user("twice"), n=2, stream=True) as stream:
        for chunk in stream:
            for choice in chunk.choices:
                said[choice.index] += choice.delta.content or ""
    assert said == [SAYS, SAYS]


def test_a_response_format_is_parsed(client: openai.OpenAI, stage: Stage) -> None:
    answer = client.chat.completions.parse(model="scripted", messages=user("JSON, please"), response_format=Weather)
    assert answer.choices[0].message.parsed == Weather(city="Paris", degrees=21)
    assert stage.model.seen[-1].json()["response_format"]["json_schema"]["name"] == "Weather"


def test_log_probabilities_arrive(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="scripted", messages=user("how sure?"), logprobs=True)
    found = answer.choices[0].logprobs
    assert found is not None
    assert "".join(token.token for token in found.content or []) == SAYS
    assert {token.logprob for token in found.content or []} == {LOGPROB}


def test_models_are_listed(client: openai.OpenAI) -> None:
    assert {"scripted", "busy", "plain", "embedded"} == {model.id for model in client.models.list()}


def test_a_refused_request_is_an_error_of_the_clients_own(client: openai.OpenAI, stage: Stage) -> None:
    before = len(stage.model.seen)
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model="scripted", messages=user(f"Sell me two {FORBIDDEN}s."))
    assert refused.value.code == "content_filter"
    assert len(stage.model.seen) == before


def test_a_refused_answer_is_an_error_of_the_clients_own(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model="scripted", messages=user(f"say Take an {FORBIDDEN} with you."))
    assert refused.value.code == "content_filter"


def test_a_stream_is_cut_before_what_is_forbidden(client: openai.OpenAI) -> None:
    asked = user(f"say {CUT}{FORBIDDEN} with you.")
    said: list[str] = []
    stream = client.chat.completions.create(model="scripted", messages=asked, stream=True)
    with pytest.raises(openai.APIError) as refused, stream:
        said.extend(chunk.choices[0].delta.content or "" for chunk in stream)
    assert refused.value.code == "content_filter"
    assert "".join(said).rstrip() == CUT.rstrip()


def test_a_secret_is_taken_out_before_the_model_sees_it(client: openai.OpenAI, stage: Stage) -> None:
    secret = "sk-proj-" + "a1B2c3D4e5F6g7H8i9J0" * 3
    client.chat.completions.create(model="scripted", messages=user(f"Is {secret} a key?"))
    asked = stage.model.seen[-1].body.decode()
    assert secret not in asked
    assert "Is " in asked


def test_a_model_that_is_not_there_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="scriptod", messages=user("hi"))
    assert missing.value.code == "model_not_found"


def test_a_body_that_makes_no_sense_is_a_bad_request(client: openai.OpenAI) -> None:
    messages: Any = "not a list"
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="scripted", messages=messages)


def test_a_busy_model_is_waited_for_by_the_client(client: openai.OpenAI) -> None:
    with pytest.raises(openai.RateLimitError) as busy:
        client.chat.completions.create(model="busy", messages=user("hi"))
    assert busy.value.response.headers["retry-after"] == "1"


def test_an_answer_names_the_exchange_in_the_log(client: openai.OpenAI, stage: Stage) -> None:
    raw = client.chat.completions.with_raw_response.create(model="scripted", messages=user("hi"))
    (record,) = [event for event in stage.gateway.written() if event["id"] == raw.headers["x-request-id"]]
    assert record["outcome"] == "completed"


class TestCompletions:
    """The older wire, which goes on with a text."""

    def test_a_text_goes_on(self, client: openai.OpenAI, stage: Stage) -> None:
        answer = client.completions.create(model="scripted", prompt="Once upon", max_tokens=9)
        assert answer.choices[0].text == SAYS
        assert answer.usage is not None
        assert answer.usage.total_tokens > 0
        assert stage.model.seen[-1].target == "/v1/completions"

    def test_a_stream_says_the_same_and_ends_with_usage(self, client: openai.OpenAI) -> None:
        options: Any = {"include_usage": True}
        with client.completions.create(
            model="scripted", prompt="Once upon", stream=True, stream_options=options
        ) as stream:
            *chunks, last = stream
        assert "".join(chunk.choices[0].text for chunk in chunks) == SAYS
        assert last.usage is not None

    def test_a_refused_prompt_is_an_error_of_the_clients_own(self, client: openai.OpenAI, stage: Stage) -> None:
        before = len(stage.model.seen)
        with pytest.raises(openai.BadRequestError) as refused:
            client.completions.create(model="scripted", prompt=f"Two {FORBIDDEN}s.")
        assert refused.value.code == "content_filter"
        assert len(stage.model.seen) == before

    def test_a_stream_is_cut_before_what_is_forbidden(self, client: openai.OpenAI) -> None:
        said: list[str] = []
        stream = client.completions.create(model="scripted", prompt=f"say {CUT}{FORBIDDEN} with you.", stream=True)
        with pytest.raises(openai.APIError) as refused, stream:
            said.extend(chunk.choices[0].text for chunk in stream)
        assert refused.value.code == "content_filter"
        assert "".join(said).rstrip() == CUT.rstrip()


class TestEmbeddings:
    @pytest.mark.parametrize("form", ["float", "base64", None])
    def test_texts_become_vectors(self, client: openai.OpenAI, form: Any) -> None:
        more = {"encoding_format": form} if form else {}
        found = client.embeddings.create(model="scripted", input=["four", "tide"], **more)
        assert found.usage.prompt_tokens == 7
        assert [one.index for one in found.data] == [0, 1]
        if form != "base64":
            assert [one.embedding for one in found.data] == [[4.0, 0.5, -0.25]] * 2

    def test_a_secret_is_taken_out_before_the_model_sees_it(self, client: openai.OpenAI, stage: Stage) -> None:
        secret = "sk-proj-" + "a1B2c3D4e5F6g7H8i9J0" * 3
        client.embeddings.create(model="scripted", input=["fine", f"Is {secret} a key?"])
        asked = stage.model.seen[-1].json()["input"]
        assert asked[0] == "fine"
        assert secret not in asked[1]

    def test_a_refused_input_is_an_error_of_the_clients_own(self, client: openai.OpenAI) -> None:
        with pytest.raises(openai.BadRequestError) as refused:
            client.embeddings.create(model="scripted", input=f"Two {FORBIDDEN}s.")
        assert refused.value.code == "content_filter"

    def test_a_model_without_them_is_not_asked_again(self, stage: Stage) -> None:
        with (
            openai.OpenAI(base_url=stage.base_url, api_key="unused", max_retries=2) as client,
            pytest.raises(openai.InternalServerError) as refused,
        ):
            client.embeddings.create(model="plain", input="hi")
        assert (refused.value.status_code, refused.value.code) == (501, "not_supported")
        ident = refused.value.response.headers["x-request-id"]
        assert [event["id"] for event in stage.gateway.written() if event["model"] == "plain"] == [ident]


class TestModerations:
    def test_the_operators_rails_judge(self, client: openai.OpenAI, stage: Stage) -> None:
        before = len(stage.model.seen)
        texts = [f"two {FORBIDDEN}s", "fine", "sk-proj-" + "a1B2c3D4e5F6g7H8i9J0" * 3]
        found = client.moderations.create(model="scripted", input=texts)
        assert [result.flagged for result in found.results] == [True, False, True]
        categories = [result.categories.model_dump(exclude_none=True) for result in found.results]
        assert [[name for name, yes in one.items() if yes] for one in categories] == [["word"], [], ["secrets"]]
        assert len(stage.model.seen) == before

    def test_it_is_recorded_like_any_exchange(self, client: openai.OpenAI, stage: Stage) -> None:
        raw = client.moderations.with_raw_response.create(model="scripted", input="fine")
        ident = raw.headers["x-request-id"]
        for name in ("exchange.started", "exchange.completed"):
            (event,) = [event for event in stage.gateway.written(name) if event["id"] == ident]
            assert (event["endpoint"], event["policy"], event["route"]) == ("/moderations", "words", "scripted")

    def test_without_a_policy_to_ask_there_is_an_error_of_the_clients_own(self, client: openai.OpenAI) -> None:
        with pytest.raises(openai.NotFoundError):
            client.moderations.create(input="fine")


class TestTheEmbeddedModel:
    """Nothing scripted: a real model behind the gateway."""

    def test_answers_and_streams_the_same(self, client: openai.OpenAI) -> None:
        asked: Any = {"model": "embedded", "messages": user("Name a colour."), "temperature": 0, "max_tokens": 12}
        whole = client.chat.completions.create(**asked).choices[0].message.content
        with client.chat.completions.create(**asked, stream=True) as stream:
            streamed = "".join(c.choices[0].delta.content or "" for c in stream if c.choices)
        assert whole
        assert streamed == whole

    def test_answers_in_a_format(self, client: openai.OpenAI) -> None:
        answer = client.chat.completions.parse(
            model="embedded", messages=user("It is 21 degrees in Paris."), response_format=Weather, max_tokens=60
        )
        assert isinstance(answer.choices[0].message.parsed, Weather)

    def test_says_how_sure_it_is(self, client: openai.OpenAI) -> None:
        answer = client.chat.completions.create(
            model="embedded", messages=user("Name a colour."), logprobs=True, top_logprobs=2, max_tokens=4
        )
        found = answer.choices[0].logprobs
        assert found is not None
        assert all(token.logprob <= 0 and len(token.top_logprobs) == 2 for token in found.content or [])

    def test_counts_tokens_as_the_record_does(self, client: openai.OpenAI, stage: Stage) -> None:
        raw = client.chat.completions.with_raw_response.create(
            model="embedded", messages=user("Name a colour."), max_tokens=8
        )
        usage = raw.parse().usage
        assert usage is not None
        (record,) = [event for event in stage.gateway.written() if event["id"] == raw.headers["x-request-id"]]
        assert (usage.prompt_tokens, usage.completion_tokens) == (record["input_tokens"], record["output_tokens"])

    def test_goes_on_with_a_text(self, client: openai.OpenAI) -> None:
        asked: dict[str, Any] = {"model": "embedded", "prompt": "The tide is", "temperature": 0, "max_tokens": 12}
        answer = client.completions.create(**asked)
        assert answer.choices[0].text
        with client.completions.create(**asked, stream=True) as stream:
            assert "".join(chunk.choices[0].text for chunk in stream if chunk.choices) == answer.choices[0].text

    def test_gives_vectors(self, client: openai.OpenAI) -> None:
        one, same, other = client.embeddings.create(
            model="embedded", input=["The tide is high. " * 60, "The tide is high. " * 60, "Paris"]
        ).data
        assert len(one.embedding) == len(other.embedding) > 100
        assert one.embedding == pytest.approx(same.embedding, abs=1e-2)
        assert one.embedding != pytest.approx(other.embedding, abs=1e-2)
