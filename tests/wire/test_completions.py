"""`/v1/completions`: which of its strings are text, and whose."""

from __future__ import annotations

from typing import Any

import openai
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import Completion
from support.answers import answer, stream
from support.exact import exact
from support.script import Script, Seen
from support.scripted import scripted

from gateway.errors import RequestError, Unprocessable
from gateway.wire import body as json_body
from gateway.wire import completions, sse

ERROR = {"message": "no", "type": "policy_violation", "param": None, "code": "content_filter"}


def asked(**more: Any) -> dict[str, Any]:
    return completions.read(orjson.dumps({"model": "m", "prompt": "go on", **more}))


def judged(**more: Any) -> list[tuple[str, str, str]]:
    return [(passage.role, passage.channel, passage.text) for passage in completions.prompts(asked(**more))]


def chunk(index: int, text: str, finish: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": index, "text": text, "finish_reason": finish, "logprobs": None, **more}
    return {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m", "choices": [choice]}


def test_prompts_and_suffixes_are_what_the_user_says() -> None:
    assert judged(prompt=["a", "", "b"], suffix="c") == [
        ("user", "content", "a"),
        ("user", "content", "b"),
        ("user", "content", "c"),
    ]


def test_other_strings_and_unknown_names_are_judged_too() -> None:
    said = judged(stop=["END"], user="u", echo=True, best_of=2, logprobs=1, note={"x y": 1})
    assert said[1:] == [("", "field", "END"), ("", "field", "u"), ("", "field", "note\nx y")]


@given(st.text() | st.lists(st.text(), min_size=1))
def test_every_prompt_can_be_rewritten_where_it_stands(prompt: Any) -> None:
    body = {"model": "m", "prompt": prompt}
    changed = json_body.rewritten(body, [(p.path, p.text + "!") for p in completions.prompts(body)])
    expected = [text and text + "!" for text in ([prompt] if isinstance(prompt, str) else prompt)]
    assert changed["prompt"] == (expected[0] if isinstance(prompt, str) else expected)
    assert completions.question(body) == (prompt if isinstance(prompt, str) else "\n".join(prompt))


@pytest.mark.parametrize(
    ("prompt", "param"),
    [([1, 2], "prompt[0]"), ([[1, 2]], "prompt[0]"), (["a", 7], "prompt[1]"), ([True], "prompt[0]")],
)
def test_tokens_are_refused_for_they_cannot_be_judged(prompt: Any, param: str) -> None:
    with pytest.raises(Unprocessable) as refused:
        asked(prompt=prompt)
    assert (refused.value.status, refused.value.param) == (422, param)


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"prompt": None}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": 7}, "prompt"),
        ({"prompt": [{}]}, "prompt[0]"),
        ({"model": ""}, "model"),
        ({"suffix": 7}, "suffix"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": []}, "stream_options"),
    ],
)
def test_what_is_no_request_is_the_clients_doing_and_named(more: dict[str, Any], param: str) -> None:
    with pytest.raises(RequestError) as refused:
        asked(**more)
    assert (refused.value.status, refused.value.param) == (400, param)


def test_the_text_of_a_choice_goes_on_from_chunk_to_chunk() -> None:
    (one,), (two,) = completions.deltas(chunk(0, "a")), completions.deltas(chunk(0, "b", "stop"))
    assert one.key == two.key == completions.FIRST
    assert (one.path, one.text, one.channel) == (("choices", 0, "text"), "a", "content")
    assert completions.deltas(chunk(1, "c"))[0].key != one.key


SCORES = {
    "tokens": ["so", " it"],
    "token_logprobs": [-0.1, None],
    "text_offset": [0, 2],
    "top_logprobs": [{"so": -0.1, "se": -2.0}, None, {"cret": -1}],
}


def test_tokens_and_their_rivals_are_text() -> None:
    found = completions.deltas(chunk(0, "so it", logprobs=SCORES))
    texts: dict[Any, str] = {}
    for delta in found:
        texts[delta.key] = texts.get(delta.key, "") + delta.text
    assert list(texts.values()) == ["so it", "so it", "sosecret"]
    assert all(key is not None for key in texts)


def test_a_rewritten_token_or_rival_leaves_no_log_probabilities() -> None:
    body = chunk(0, "so it", logprobs=SCORES)
    for delta in completions.deltas(body):
        changed = completions.without_logprobs(json_body.rewritten(body, [(delta.path, "***")]))
        assert changed["choices"][0]["logprobs"] is None
    every = json_body.rewritten(body, [(delta.path, "***") for delta in completions.deltas(body)])
    assert completions.without_logprobs(every)["choices"][0]["text"] == "***"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"choices": 7},
        {"choices": [7]},
        {"choices": [{"logprobs": 7}]},
        {"choices": [{"logprobs": {"top_logprobs": [7]}}]},
    ],
)
def test_an_answer_of_another_shape_says_nothing(body: dict[str, Any]) -> None:
    assert completions.deltas(body) == []


def test_a_label_in_another_place_is_text() -> None:
    assert [delta.text for delta in completions.deltas({"object": "secret", "x": "text_completion"})] == [
        "secret",
        "text_completion",
    ]


def test_a_refusal_ends_every_open_choice_and_the_stream() -> None:
    raw = completions.refusal(
        chunk(0, "a"), [0, 2], ERROR, {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
    )
    last, done = sse.Decoder().feed(raw)
    told = orjson.loads(last.data)
    assert done.data == sse.DONE
    exact(Completion, told, {"error"})
    assert (told["id"], told["model"], told["error"]) == ("cmpl-1", "m", ERROR)
    assert [(c["index"], c["text"], c["finish_reason"]) for c in told["choices"]] == [
        (0, "", "content_filter"),
        (2, "", "content_filter"),
    ]


async def test_openais_client_reads_what_it_is_told() -> None:
    def play(seen: Seen) -> Script:
        body = completions.read(seen.body)
        if not body.get("stream"):
            return answer(chunk(0, "on", "stop"))
        said = [sse.encoded(json_body.encoded(chunk(0, text))) for text in ("o", "n")]
        return stream([*said, completions.refusal(chunk(0, ""), [0], ERROR, None)])

    async with scripted(play) as server, openai.AsyncOpenAI(api_key="k", base_url=server.base_url) as client:
        told = await client.completions.create(model="m", prompt="go ")
        assert told.choices[0].text == "on"
        texts: list[str] = []
        with pytest.raises(openai.APIError, match="no"):  # noqa: PT012  the stream is what raises
            async for part in await client.completions.create(model="m", prompt="go ", stream=True):
                texts.append(part.choices[0].text)  # noqa: PERF401  what came before it raised is what is asked
        assert texts == ["o", "n"]
