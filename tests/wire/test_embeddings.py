"""`/v1/embeddings`: what goes in is judged, and nothing but numbers comes out unjudged."""

from __future__ import annotations

import base64
import struct
import time
from typing import Any

import openai
import orjson
import pytest
from openai.types import CreateEmbeddingResponse
from support.answers import answer
from support.exact import exact
from support.script import Script, Seen
from support.scripted import scripted

from gateway.errors import RequestError, Unprocessable
from gateway.wire import embeddings

USAGE = {"prompt_tokens": 5, "total_tokens": 5}


def asked(**more: Any) -> dict[str, Any]:
    return embeddings.read(orjson.dumps({"model": "m", "input": "text", **more}))


def judged(**more: Any) -> list[tuple[str, str]]:
    return [(passage.role, passage.text) for passage in embeddings.prompts(asked(**more))]


def answered(*vectors: Any, **more: Any) -> dict[str, Any]:
    data = [{"object": "embedding", "index": at, "embedding": vector} for at, vector in enumerate(vectors)]
    return {"object": "list", "data": data, "model": "m-1", "usage": USAGE, **more}


def packed(*numbers: float) -> str:
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


def test_inputs_are_what_the_user_says() -> None:
    assert judged() == [("user", "text")]
    assert judged(input=["a", "", "b"], dimensions=8, encoding_format="base64") == [("user", "a"), ("user", "b")]


def test_other_strings_and_unknown_names_are_judged_too() -> None:
    said = judged(user="u", encoding_format="a secret", note="n")
    assert said[1:] == [("", "u"), ("", "a secret"), ("", "n"), ("", "note")]


@pytest.mark.parametrize("given", [[1, 2], [[1, 2], [3]], ["a", 1]])
def test_tokens_are_refused_for_they_cannot_be_judged(given: Any) -> None:
    with pytest.raises(Unprocessable):
        asked(input=given)


@pytest.mark.parametrize("given", [None, [], 7, {}, [None]])
def test_an_input_that_is_no_text_is_the_clients_doing(given: Any) -> None:
    with pytest.raises(RequestError) as refused:
        asked(input=given)
    assert refused.value.status == 400
    assert str(refused.value.param).startswith("input")


def test_numbers_are_no_text() -> None:
    body = answered([0.5, 1, -2.0], [])
    exact(CreateEmbeddingResponse, body)
    assert embeddings.deltas(body) == embeddings.deltas(answered(packed(0.5, 1.0))) == []


@pytest.mark.parametrize(
    ("body", "texts"),
    [
        (answered([0.5, "a secret"]), ["a secret"]),
        (answered("not base64!"), ["not base64!"]),
        (answered([0.5], note="a secret"), ["a secret"]),
        (answered([0.5], object="a secret"), ["a secret"]),
        (answered([0.5], model="a secret"), ["a secret"]),
        ({"data": ["a secret"]}, ["a secret"]),
        ({"data": "a secret"}, ["a secret"]),
        ({"error": {"message": "too long"}}, ["too long"]),
    ],
)
def test_whatever_text_an_answer_holds_is_judged(body: dict[str, Any], texts: list[str]) -> None:
    found = embeddings.deltas(body)
    assert [delta.text for delta in found] == texts
    for delta in found:
        value: Any = body
        for step in delta.path:
            value = value[step]
        assert value == delta.text


def test_an_answer_says_what_it_cost() -> None:
    counts = embeddings.usage(answered([0.5]))
    assert counts is not None
    assert (counts.input, counts.output) == (5, 0)
    assert embeddings.model(answered([0.5])) == "m-1"


def test_a_thousand_vectors_are_read_in_no_time() -> None:
    body = answered(*([0.25] * 1536 for _ in range(1000)))
    began = time.process_time()
    assert embeddings.deltas(body) == []
    assert time.process_time() - began < 1  # walked value by value, it would be several


async def test_openais_client_reads_what_it_is_told() -> None:
    """It asks for base64 on its own account."""

    def play(seen: Seen) -> Script:
        body = embeddings.read(seen.body)
        assert [passage.text for passage in embeddings.prompts(body)] == ["text"]
        told = answered(packed(0.5, 1.0))
        assert embeddings.deltas(told) == []
        return answer(told)

    async with scripted(play) as server, openai.AsyncOpenAI(api_key="k", base_url=server.base_url) as client:
        told = await client.embeddings.create(model="m", input="text")
        assert told.data[0].embedding == [0.5, 1.0]
