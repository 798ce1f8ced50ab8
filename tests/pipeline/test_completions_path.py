"""`/v1/completions` from request to record: the path of chat, with another wire's bodies."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.answers import DONE, event
from support.paths import JSON, Canned, Heard, run, stream_of, walked
from support.rails import Words, bound, policy

from gateway.policy.policy import Policy
from gateway.policy.rail import Unit
from gateway.policy.verdict import Action
from gateway.wire.codec import COMPLETIONS

NOTHING = policy()
BAD = policy(inward=[bound(Words("in", ("bad",)))], outward=[bound(Words("out", ("bad",)))])
SOFT = policy(
    inward=[bound(Words("in", ("bad",), Action.REDACT))], outward=[bound(Words("out", ("bad",), Action.REDACT))]
)
HEAD = {"id": "cmpl-1", "object": "text_completion", "created": 1_700_000_000, "model": "theirs"}
USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}


def ask(prompt: Any = "Once upon", **more: Any) -> dict[str, Any]:
    return {"model": "m", "prompt": prompt, **more}


def chunk(text: str, finish: str | None = None, index: int = 0, **more: Any) -> dict[str, Any]:
    return {**HEAD, "choices": [{"index": index, "text": text, "logprobs": None, "finish_reason": finish}], **more}


def answer(text: str, **more: Any) -> dict[str, Any]:
    return {**chunk(text, "stop"), "usage": USAGE, **more}


async def whole(rules: Any, said: Any, body: Any = None) -> Heard:
    return await walked(rules, Canned([orjson.dumps(said)], (JSON,)), body=body or ask(), codec=COMPLETIONS)


async def streamed(rules: Any, *chunks: Any, **more: Any) -> Heard:
    return await walked(rules, Canned(stream_of(*chunks)), body=ask(stream=True, **more), codec=COMPLETIONS)


def told(heard: Heard) -> str:
    return "".join(choice["text"] for chunk in heard.chunks() for choice in chunk["choices"])


async def test_untouched_bytes_pass_both_ways() -> None:
    raw = b'{"model" : "m","prompt":["a\\u0020b","c"],"n":1.50,"x_new":{}}'
    up = Canned([orjson.dumps(answer("there was"))], (JSON,))
    heard = await walked(NOTHING, up, body=raw, codec=COMPLETIONS)
    assert (up.asks[0].body, up.asks[0].endpoint) == (raw, "/completions")
    assert heard.raw == up.chunks[0]
    record = heard.record
    assert (record.endpoint, record.outcome, record.model, record.answered) == (
        "/completions",
        "completed",
        "m",
        "theirs",
    )
    assert (record.usage.input, record.usage.output, record.usage.estimated) == (5, 2, False)
    assert record.timing.first_token is not None
    assert heard.answers[0].text == "there was"
    assert heard.answers[0].question == "a b\nc"


async def test_a_stream_passes_as_it_came_and_is_counted() -> None:
    sent = stream_of(chunk("there"), chunk(" was", "stop"), {**HEAD, "choices": [], "usage": USAGE})
    up = Canned(sent)
    heard = await walked(BAD, up, body=ask(stream=True), codec=COMPLETIONS)
    assert orjson.loads(up.asks[0].body)["stream_options"] == {"include_usage": True}
    assert heard.raw == b"".join((*sent[:2], sent[3]))  # the client did not ask for usage
    assert (heard.record.usage.output, heard.record.finish, heard.record.stream) == (2, "stop", True)
    assert heard.answers[0].text == "there was"


@pytest.mark.parametrize("body", [ask("so bad"), ask(["fine", "so bad"]), ask("fine", suffix="bad"), ask(user="bad")])
async def test_a_blocked_request_reaches_no_upstream(body: Any) -> None:
    up = Canned([orjson.dumps(answer("x"))], (JSON,))
    heard = await walked(BAD, up, body=body, codec=COMPLETIONS)
    assert (up.asks, heard.status, heard.json()["error"]["code"]) == ([], 400, "content_filter")
    assert (heard.record.outcome, heard.begun) == ("blocked", 1)


async def test_a_rewritten_request_is_sent_rewritten() -> None:
    up = Canned([orjson.dumps(answer("x"))], (JSON,))
    await walked(SOFT, up, body=ask(["a bad one", "b"], suffix="bad"), codec=COMPLETIONS)
    assert orjson.loads(up.asks[0].body) == ask(["a [gone] one", "b"], suffix="[gone]")


async def test_a_blocked_answer_is_replaced_by_the_error() -> None:
    heard = await whole(BAD, answer("so bad"))
    assert (heard.status, heard.json()["error"]["code"], heard.record.outcome) == (400, "content_filter", "blocked")


async def test_a_cut_stream_ends_in_its_own_wire() -> None:
    heard = await streamed(BAD, chunk("so "), chunk("b", index=1), chunk("ba"), chunk("d", "stop"))
    assert told(heard) == "so "
    last = heard.chunks()[-1]
    assert last["object"] == "text_completion"
    assert last["choices"] == [
        {"index": n, "text": "", "logprobs": None, "finish_reason": "content_filter"} for n in (0, 1)
    ]
    assert last["error"]["code"] == "content_filter"
    assert heard.raw.endswith(DONE)
    assert heard.record.outcome == "blocked"


async def test_a_stream_is_rewritten_where_a_rule_says_so_and_loses_its_log_probabilities() -> None:
    scored = chunk("so b")
    scored["choices"][0]["logprobs"] = {
        "tokens": ["so", " b"],
        "token_logprobs": [-1.0, -2.0],
        "top_logprobs": [{" bad": -1.0}, {}],
        "text_offset": [0, 2],
    }
    heard = await streamed(SOFT, scored, chunk("ad day", "stop"))
    assert told(heard) == "so [gone] day"
    assert b"bad" not in heard.raw
    assert heard.chunks()[0]["choices"][0]["logprobs"] is None


async def test_a_token_that_might_have_stood_there_is_judged() -> None:
    scored = answer("so good")
    scored["choices"][0]["logprobs"] = {"tokens": ["good"], "top_logprobs": [{"good": -1.0, "bad": -2.0}]}
    assert (await whole(BAD, scored)).record.outcome == "blocked"


async def test_a_broken_stream_says_so_in_the_envelope() -> None:
    heard = await walked(NOTHING, Canned([event(chunk("so"))]), body=ask(stream=True), codec=COMPLETIONS)
    assert heard.chunks()[-1]["error"]["code"] == "upstream_broken"


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        (ask([1, 2, 3]), 422, "prompt[0]"),
        (ask([[1, 2]]), 422, "prompt[0]"),
        ({"model": "m"}, 400, "prompt"),
        (ask(stream="yes"), 400, "stream"),
        (ask(model="other"), 404, "model"),
    ],
)
async def test_a_bad_request_is_refused_and_recorded(body: Any, status: int, param: str) -> None:
    up = Canned([])
    heard = await walked(NOTHING, up, body=body, codec=COMPLETIONS)
    assert (heard.status, heard.json()["error"]["param"], up.asks) == (status, param, [])
    assert (heard.record.outcome, heard.begun) == ("rejected", 0)


# A refusal in the policy's own words

OWN: dict[str, Any] = {"refusal": {"message": "Not here.", "status": 451}}


async def test_a_refusal_has_the_policys_text_and_status_and_is_not_tried_again() -> None:
    inward = policy(inward=[bound(Words("in", ("bad",)))], **OWN)
    outward = policy(outward=[bound(Words("out", ("bad",)))], **OWN)
    for heard in (
        await walked(inward, Canned([]), body=ask("bad"), codec=COMPLETIONS),
        await whole(outward, answer("bad")),
        await streamed(outward, chunk("bad", "stop")),
    ):
        assert (heard.status, heard.record.status, heard.record.outcome) == (451, 451, "blocked")
        assert heard.json()["error"] == {
            "message": "Not here.",
            "type": "policy_violation",
            "param": None,
            "code": "content_filter",
        }
        assert heard.headers["x-should-retry"] == "false"


async def test_a_stream_that_began_keeps_its_status_and_ends_in_the_policys_text() -> None:
    heard = await streamed(policy(outward=[bound(Words("out", ("bad",)))], **OWN), chunk("so "), chunk("bad", "stop"))
    assert heard.status == 200
    assert heard.chunks()[-1]["error"]["message"] == "Not here."


# Chunking does not matter


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from(("bad", "ba", "d", " ", "so ", "odd.", "o")), min_size=1, max_size=8).map("".join),
    st.lists(st.integers(0, 30), max_size=6),
    st.sampled_from((BAD, SOFT)),
    st.sampled_from((None, Unit.SENTENCE, Unit.ANSWER)),
)
def test_a_streamed_text_is_judged_as_a_whole_one(text: str, cuts: list[int], rules: Policy, wide: Unit | None) -> None:
    if wide:
        rules = replace(rules, output=(*rules.output, bound(Words("wide", ("odd",), Action.REDACT, wide))))
    marks = sorted({0, len(text), *(cut % len(text) for cut in cuts)})
    pieces = [text[a:b] for a, b in pairwise(marks)]
    one = run(whole(rules, answer(text)))
    many = run(streamed(rules, *map(chunk, pieces), chunk("", "stop")))
    assert (many.record.outcome, many.record.verdict) == (one.record.outcome, one.record.verdict)
    if one.record.outcome == "completed":
        assert told(many) == one.json()["choices"][0]["text"]
