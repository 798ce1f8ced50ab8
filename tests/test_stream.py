"""A stream on its way: what leaves when, how it ends, and what is recorded of it. (How it is judged: test_window.)"""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from support.answers import DONE, delta, event, usage
from support.paths import ASK, Canned, Heard, stream_of, streamed, walked
from support.rails import Doing, Words, bound, policy

from gateway.errors import UpstreamBroken, UpstreamTimeout
from gateway.policy.docket import Docket
from gateway.policy.policy import Bench
from gateway.policy.rail import Subject, Unit
from gateway.policy.vault import Vault
from gateway.policy.verdict import Action, Verdict
from gateway.policy.window import Window
from gateway.wire import chat, sse

NOTHING = policy()
BAD = policy(outward=[bound(Words("p", ("bad",)))])
STOP = delta(finish="stop")
USAGE = {**STOP, "choices": [], "usage": usage(7, 3)}
HELLO = [event(delta("Hello")), event(delta(" world")), event(STOP), DONE]


def events(heard: Heard) -> list[bytes]:
    decoder = sse.Decoder()
    return [e.data for e in [*decoder.feed(heard.raw), *decoder.finish()]]


# Usage


@pytest.mark.parametrize("asked", [None, {"include_usage": False}, {"include_obfuscation": False}])
async def test_usage_that_only_the_gateway_asked_for_is_not_passed_on(asked: Any) -> None:
    up = Canned(stream_of(delta("Hello"), STOP, USAGE))
    body = {**ASK, "stream": True, **({"stream_options": asked} if asked else {})}
    heard = await walked(NOTHING, up, body=body)
    assert orjson.loads(up.asks[0].body)["stream_options"]["include_usage"] is True
    assert heard.raw == b"".join(stream_of(delta("Hello"), STOP))
    assert (heard.record.usage.input, heard.record.usage.output, heard.record.usage.estimated) == (7, 3, False)


async def test_usage_that_the_client_asked_for_is_passed_on_in_its_place() -> None:
    up = Canned(stream_of(delta("Hello"), STOP, USAGE))
    body = {**ASK, "stream": True, "stream_options": {"include_usage": True}}
    heard = await walked(NOTHING, up, body=body)
    assert up.asks[0].body == orjson.dumps(body)
    assert heard.raw == b"".join(up.chunks)  # type: ignore[arg-type]  # bytes all
    assert heard.record.usage.input == 7


async def test_usage_that_nobody_asked_for_is_passed_on() -> None:
    up = Canned(stream_of(delta("Hello"), STOP, USAGE))
    heard = await walked(NOTHING, up, body={**ASK, "stream": True}, stream_usage="leave")
    assert "stream_options" not in orjson.loads(up.asks[0].body)
    assert heard.raw == b"".join(up.chunks)  # type: ignore[arg-type]  # bytes all


async def test_usage_is_taken_from_wherever_it_stands_and_estimated_where_it_does_not() -> None:
    told = await streamed(NOTHING, stream_of({**delta("Hello"), "usage": usage(1, 1)}, {**STOP, "usage": usage(1, 2)}))
    assert (told.record.usage.output, told.record.usage.estimated) == (2, False)
    untold = await streamed(NOTHING, stream_of(delta("12345"), delta(None, reasoning="6789"), STOP))
    assert (untold.record.usage.input, untold.record.usage.output, untold.record.usage.estimated) == (2, 3, True)


# How it ends


async def test_an_answer_ends_with_its_finish_and_done() -> None:
    heard = await streamed(NOTHING, HELLO)
    assert heard.raw == b"".join(HELLO)
    record = heard.record
    assert (record.outcome, record.finish, record.status, record.answered) == ("completed", "stop", 200, "scripted")
    assert record.sent == len(heard.raw)
    assert heard.answers[0].text == "Hello world"
    assert len(record.timing.gaps) == 1
    assert record.timing.first_token is not None


async def test_the_record_is_made_before_the_last_event_leaves() -> None:
    heard = await streamed(NOTHING, HELLO)
    assert heard.pieces[-1] == DONE
    assert heard.before == [0, 0, 0, 1]


async def test_an_answer_that_ends_without_done_is_left_as_it_is() -> None:
    heard = await streamed(NOTHING, HELLO[:-1])
    assert heard.raw == b"".join(HELLO[:-1])
    assert heard.record.outcome == "completed"


async def test_the_last_event_may_lack_its_blank_line_and_is_judged() -> None:
    raw = [event(delta("Hello")), event(STOP)[:-1]]
    assert (await streamed(NOTHING, raw)).raw == b"".join(raw)
    heard = await streamed(BAD, [event(STOP), event(delta("bad"))[:-2]])
    assert b'"bad"' not in heard.raw
    assert heard.record.outcome == "blocked"


async def test_what_follows_done_is_nobodys() -> None:
    heard = await streamed(NOTHING, [*HELLO[:-1], DONE + event(delta("bad")), event(delta("bad")), DONE])
    assert heard.raw == b"".join(HELLO)


@pytest.mark.parametrize(
    "cut",
    [
        [],
        [UpstreamBroken("it was cut off")],
        [b"data: {\n\n"],
        [b"data: []\n\n"],
        [b"data: null\n\n"],
        [b"data: <html>\n\n"],
        [b"data: \xff\n\n"],
        [b'data: {"a":' + b"[" * 500 + b"]" * 500 + b"}\n\n"],
        [b"data: half"],
        [b"x" * (sse.MAX_EVENT + 1)],
    ],
)
async def test_a_stream_that_breaks_ends_with_an_error_and_done(cut: list[Any]) -> None:
    heard = await streamed(NOTHING, [*HELLO[:2], *cut])
    *before, error, done = events(heard)
    assert before == [e[6:-2] for e in HELLO[:2]]
    assert orjson.loads(error)["error"]["code"] == "upstream_broken"
    assert done == sse.DONE
    record = heard.record
    assert (record.outcome, record.error, record.status) == ("failed", "upstream_broken", 200)
    assert record.usage.estimated
    assert record.sent == len(heard.raw)


async def test_a_stream_that_breaks_before_anything_was_sent_is_an_error_with_a_status() -> None:
    for chunks in ([], [b"data: {\n\n"], [UpstreamBroken("cut off")], [b"data: half"]):
        heard = await streamed(NOTHING, chunks)
        assert (heard.status, heard.json()["error"]["code"]) == (502, "upstream_broken")
        assert heard.record.outcome == "failed"
    heard = await streamed(NOTHING, [UpstreamTimeout("it stopped")])
    assert (heard.status, heard.json()["error"]["code"]) == (504, "upstream_timeout")


async def test_an_error_that_the_upstream_streams_is_passed_on_and_recorded() -> None:
    error = event({"error": {"message": "overloaded", "type": "server_error", "code": 529}})
    for ending in ([], [DONE]):
        heard = await streamed(NOTHING, [*HELLO[:1], error, *ending])
        assert heard.raw == b"".join([*HELLO[:1], error, *ending])
        assert (heard.record.outcome, heard.record.error) == ("failed", "upstream_error")


# Being blocked


async def test_a_block_before_anything_was_sent_is_a_plain_error() -> None:
    heard = await streamed(BAD, [event(delta("bad")), *HELLO])
    assert (heard.status, heard.headers["content-type"]) == (400, "application/json")
    assert heard.json()["error"]["code"] == "content_filter"
    assert heard.headers["x-tidegate-verdict"] == "block"
    assert (heard.record.outcome, heard.record.verdict, heard.record.status) == ("blocked", "block", 400)


async def test_a_block_in_the_middle_ends_every_open_choice_with_the_error_and_done() -> None:
    parts: list[dict[str, Any]] = [delta("one"), delta("two"), delta(finish="stop"), delta("three")]
    for part, index in zip(parts, (0, 1, 1, 2), strict=True):
        part["choices"][0]["index"] = index
    counted = {**delta("bad"), "usage": usage(4, 4)}
    heard = await streamed(BAD, [*map(event, parts), event(counted), *HELLO])
    *before, last, done = events(heard)
    assert before == [orjson.dumps(part) for part in parts]
    chunk = orjson.loads(last)
    assert [(c["index"], c["finish_reason"], c["delta"]) for c in chunk["choices"]] == [
        (0, "content_filter", {}),
        (2, "content_filter", {}),
    ]
    assert (chunk["id"], chunk["object"], chunk["model"]) == ("chatcmpl-1", "chat.completion.chunk", "scripted")
    assert (chunk["error"]["code"], chunk["error"]["type"]) == ("content_filter", "policy_violation")
    assert chunk["usage"] == usage(4, 4)
    assert done == sse.DONE
    assert (heard.record.outcome, heard.record.usage.output) == ("blocked", 4)


async def test_a_choice_whose_end_was_held_back_is_still_open() -> None:
    held = policy(outward=[bound(Words("s", ("bad",), unit=Unit.SENTENCE))])
    parts = [delta("One. "), delta("Next "), delta("Two. "), delta(finish="stop"), delta("bad. So")]
    for part, index in zip(parts, (0, 0, 1, 1, 0), strict=True):
        part["choices"][0]["index"] = index
    heard = await streamed(held, [*map(event, parts), DONE])
    assert [(c["index"], c["finish_reason"]) for c in orjson.loads(events(heard)[-2])["choices"]] == [
        (0, "content_filter"),
        (1, "content_filter"),
    ]


async def test_a_rail_that_fails_in_the_middle_ends_the_stream_as_unavailable() -> None:
    async def act(asked: Subject) -> list[Verdict]:
        if any("two" in passage.text for passage in asked.passages):
            raise KeyError("two")
        return [Verdict() for _ in asked.passages]

    parts = [event(delta(text)) for text in ("One. ", "Then ", "two. So")]
    heard = await streamed(policy(outward=[bound(Doing("r", act))]), parts)
    assert heard.pieces[0] == parts[0]
    assert orjson.loads(events(heard)[-2])["error"]["code"] == "policy_unavailable"
    assert (heard.record.outcome, heard.record.verdict) == ("unavailable", "unavailable")
    assert b"two" not in heard.raw


@pytest.mark.parametrize("reason", ["", "stop", None])
async def test_a_choice_that_says_it_ended_with_every_chunk_is_held_all_the_same(reason: Any) -> None:
    heard = await streamed(BAD, [event(delta(text, finish=reason)) for text in ("x b", "a", "d")] + HELLO)
    assert "b" not in heard.texts().get((0, "content"), "")
    assert heard.record.outcome == "blocked"


# What is not text of the answer


async def test_comments_and_odd_lines_pass_as_they_came_and_are_judged() -> None:
    odd = [b": keep-alive\n\n", b"\n", b"event: message\r\nid: 7\r\n" + event(delta("Hi")), b"retry: 5\n\n", *HELLO]
    assert (await streamed(BAD, odd)).raw == b"".join(odd)
    for line in (b": so bad\n\n", b"event: bad\n" + event(delta("Hi")), b"bad: x\n\n", b": bad\n" + DONE):
        heard = await streamed(BAD, [*HELLO[:1], line, *HELLO])
        assert heard.record.outcome == "blocked"
        assert b"bad" not in heard.raw


async def test_a_line_that_a_rail_would_rewrite_is_left_out() -> None:
    rules = policy(outward=[bound(Words("p", ("bad",), Action.REDACT))])
    heard = await streamed(rules, [b": bad\n\n", b"id: bad\n" + event(delta("Hi")), b": bad\n" + DONE])
    assert heard.raw == event(delta("Hi")) + DONE or events(heard) == [orjson.dumps(delta("Hi")), sse.DONE]
    assert b"bad" not in heard.raw


async def test_unknown_fields_are_judged_each_time_they_come() -> None:
    noted = [{**delta(text), "note": note} for text, note in (("u", "fine"), ("v", "fine"), ("w", "so bad"))]
    heard = await streamed(BAD, [*map(event, noted), *HELLO])
    assert [chunk.get("note") for chunk in heard.chunks()[:-1]] == ["fine", "fine"]
    assert heard.record.outcome == "blocked"
    rules = policy(outward=[bound(Words("p", ("bad",), Action.REDACT))])
    heard = await streamed(rules, [event({**delta("x"), "note": "bad"})] * 100 + HELLO)
    assert {chunk.get("note") for chunk in heard.chunks()} == {"[gone]", None}


async def test_a_rail_is_not_asked_again_about_what_every_chunk_repeats() -> None:
    rail = Words("s", ("x",), unit=Unit.SENTENCE)
    await streamed(policy(outward=[bound(rail)]), [event({**delta("a "), "provider": "Some One"})] * 50 + HELLO)
    assert rail.seen.count("Some One") == 1


async def test_logprobs_leave_with_what_they_spell() -> None:
    tokens = {"content": [{"token": "ba", "logprob": -1, "bytes": [98, 97]}, {"token": "d", "logprob": -1}]}
    chunk = delta("bad")
    chunk["choices"][0]["logprobs"] = tokens
    rules = policy(outward=[bound(Words("p", ("bad",), Action.REDACT))])
    heard = await streamed(rules, [event(chunk), *HELLO])
    (choice,) = heard.chunks()[0]["choices"]
    assert (choice["delta"]["content"], choice["logprobs"]) == ("[gone]", None)


async def test_tokens_that_spell_a_word_nobody_said_are_blocked() -> None:
    chunk = delta("fine")
    chunk["choices"][0]["logprobs"] = {"content": [{"token": "ba", "logprob": -1}, {"token": "d", "logprob": -1}]}
    assert (await streamed(BAD, [event(chunk), *HELLO])).record.outcome == "blocked"


async def test_half_a_surrogate_pair_passes() -> None:
    halves = [b'data: {"choices":[{"index":0,"delta":{"content":"\\ud83d"}}]}\n\n', *HELLO]
    assert (await streamed(BAD, halves)).raw == b"".join(halves)


async def test_a_long_answer_is_forgotten_as_it_goes() -> None:
    """Otherwise every piece would copy all that came before it."""
    window = Window(Bench([bound(Words("s", ("bad",), unit=Unit.SENTENCE))], "output", Docket()), Vault())
    most = 0
    for _ in range(3000):
        span = window.feed((0, ("content",)), chat.Delta((0, ("content",)), ("x",), "Some words. ", "content"))
        assert (await window.judge()).action is Action.ALLOW
        span.channel.forget()
        most = max(most, len(span.channel.pending))
    assert most < 1000
    assert span.channel.length == 36_000
