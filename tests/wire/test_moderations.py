"""`/v1/moderations`: what the operator's rails say, in OpenAI's shape."""

from __future__ import annotations

from typing import Any

import openai
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.answers import answer
from support.script import Script, Seen
from support.scripted import scripted

from gateway.errors import NotSupported, RequestError, Unprocessable
from gateway.wire import moderations

RAILS = ["secrets", "pii"]


def asked(given: Any, **more: Any) -> dict[str, Any]:
    return moderations.read(orjson.dumps({"input": given, **more}))


def part(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


@pytest.mark.parametrize(
    ("given", "texts"),
    [("a", ["a"]), ("", [""]), (["a", "", "b"], ["a", "", "b"]), ([part("a"), part("b")], ["a", "b"])],
)
def test_every_input_is_a_text_to_judge_the_empty_ones_too(given: Any, texts: list[str]) -> None:
    found = moderations.prompts(asked(given, model="omni"))
    assert [passage.text for passage in found] == texts
    assert {passage.role for passage in found} == {"user"}


@pytest.mark.parametrize(
    ("given", "kind", "param"),
    [
        (None, RequestError, "input"),
        ([], RequestError, "input"),
        (7, RequestError, "input"),
        ([1, 2], Unprocessable, "input[0]"),
        ([part("a"), {"type": "image_url", "image_url": {"url": "x"}}], NotSupported, "input[1].type"),
        ([part("a"), "b"], RequestError, "input[1]"),
        ([{"type": "text"}], RequestError, "input[0].text"),
        ([{**part("a"), "note": "x"}], Unprocessable, "input[0].note"),
    ],
)
def test_what_cannot_be_judged_is_refused_by_name(given: Any, kind: type[Exception], param: str) -> None:
    with pytest.raises(kind) as refused:
        asked(given)
    assert getattr(refused.value, "param", None) == param


def test_a_field_that_nobody_knows_is_refused() -> None:
    with pytest.raises(Unprocessable, match="'note'"):
        asked("a", note="x")


fired = st.frozensets(st.sampled_from(RAILS))


@given(st.lists(fired, min_size=1, max_size=4))
def test_each_input_has_its_result_and_parts_have_one(found: list[frozenset[str]]) -> None:
    many = moderations.answer(asked(["x"] * len(found)), "modr-1", RAILS, found)["results"]
    assert [{rail for rail, said in result["categories"].items() if said} for result in many] == list(map(set, found))
    assert [result["flagged"] for result in many] == list(map(bool, found))
    (one,) = moderations.answer(asked([part("x")] * len(found)), "modr-1", RAILS, found)["results"]
    assert one["flagged"] == any(found)
    assert {rail for rail, score in one["category_scores"].items() if score} == set().union(*found)


def test_whoever_was_asked_answers() -> None:
    assert moderations.answer(asked("x", model="omni"), "modr-1", RAILS, [()])["model"] == "omni"
    assert moderations.answer(asked("x"), "modr-1", RAILS, [()])["model"] == "tidegate"


async def test_openais_client_reads_what_it_is_told() -> None:
    """Its type of `categories` names OpenAI's own; it keeps the operator's beside them."""

    def play(seen: Seen) -> Script:
        return answer(moderations.answer(moderations.read(seen.body), "modr-1", RAILS, [{"pii"}]))

    async with scripted(play) as server, openai.AsyncOpenAI(api_key="k", base_url=server.base_url) as client:
        told = await client.moderations.create(input="my number is")
    assert told.id == "modr-1"
    assert told.results[0].flagged
    assert told.results[0].categories.to_dict() == {"secrets": False, "pii": True}
    assert told.results[0].category_scores.to_dict() == {"secrets": 0.0, "pii": 1.0}
