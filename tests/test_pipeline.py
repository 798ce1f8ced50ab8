"""One exchange from request to record: what reaches the upstream, what reaches the client, what is written of it."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.answers import completion, delta
from support.paths import ASK, JSON, SSE, Canned, Heard, call, pipeline, run, stream_of, unstreamed, walked
from support.rails import Doing, Words, bound, policy

from gateway.errors import UpstreamUnreachable
from gateway.pipeline.run import Principal
from gateway.policy.rail import Subject, Unit
from gateway.policy.verdict import Action, Verdict
from gateway.wire import chat

NOTHING = policy()
BAD = policy(inward=[bound(Words("in", ("bad",)))], outward=[bound(Words("out", ("bad",)))])
SOFT = policy(
    inward=[bound(Words("in", ("bad",), Action.REDACT))], outward=[bound(Words("out", ("bad",), Action.REDACT))]
)
HELLO = completion("Hello world")


def ask(content: Any, **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": content}], **more}


def answering(answer: Any = HELLO, **more: Any) -> Canned:
    return Canned([answer if isinstance(answer, bytes) else orjson.dumps(answer)], (JSON,), **more)


# Bytes

NUMBERS = st.sampled_from(("1.50", "1e3", "-0", "18446744073709551616", "0.1000"))
SPELT = st.sampled_from(
    (
        '{"model" : "m", "messages":[{"content":"\\u0068i","role":"user"}] ,"n":%s}\n',
        '{"x":[%s],"messages":[{"role":"user","content":null,"extra":{}}],"model":"m"}',
    )
)


@given(SPELT, NUMBERS, st.sampled_from((NOTHING, BAD)))
def test_a_request_that_no_rail_touches_is_sent_byte_for_byte(form: str, number: str, rules: Any) -> None:
    raw, up = (form % number).encode(), answering()
    run(walked(rules, up, body=raw))
    assert up.asks[0].body == raw
    assert up.asks[0].endpoint == "/chat/completions"


@given(SPELT, NUMBERS)
def test_an_answer_that_no_rail_touches_is_returned_byte_for_byte(form: str, number: str) -> None:
    raw = (form % number).encode()
    assert run(unstreamed(BAD, raw)).raw == raw


async def test_only_the_models_name_changes_where_the_upstream_has_its_own() -> None:
    raw, up = b'{"n": 1.50,"model" :\t"m" ,"messages":[{"role":"user","content":"model"}]}', answering()
    await walked(NOTHING, up, body=raw, model="theirs")
    assert up.asks[0].body == raw.replace(b'"m"', b'"theirs"')
    heard = await walked(NOTHING, answering(), body=raw, model="theirs")
    assert heard.record.model == "m"


async def test_a_stream_is_asked_for_usage_and_nothing_else_changes() -> None:
    raw, up = b'{"model":"m","stream":true,"n":1e0,"messages":[{"role":"user"}]}', Canned(stream_of(HELLO))
    await walked(NOTHING, up, body=raw)
    assert up.asks[0].body == b'{"stream_options":{"include_usage":true},' + raw[1:]
    assert up.asks[0].stream


# The request, judged


@pytest.mark.parametrize("role", ["system", "developer", "user", "assistant", "tool", "function"])
@pytest.mark.parametrize(
    "content", ["so bad", [{"type": "text", "text": "so bad"}], [{"type": "file", "file": {"x": "bad"}}]]
)
async def test_a_blocked_request_reaches_no_upstream(role: str, content: Any) -> None:
    up = answering()
    turns = [{"role": role, "content": content}, {"role": "user", "content": "fine"}]
    heard = await walked(BAD, up, body={"model": "m", "messages": turns})
    assert up.asks == []
    assert (heard.status, heard.json()["error"]["code"]) == (400, "content_filter")
    record = heard.record
    assert (record.outcome, record.verdict, record.error, record.tried) == ("blocked", "block", "content_filter", [])
    assert record.usage.input == 0
    assert heard.begun == 1


async def test_the_refusal_is_the_policys_own() -> None:
    rules = policy(inward=[bound(Words("in", ("bad",)))], refusal="Not here.")
    assert (await walked(rules, answering(), body=ask("bad"))).json()["error"]["message"] == "Not here."


async def test_a_rewritten_request_is_sent_rewritten() -> None:
    up = answering()
    body = ask([{"type": "text", "text": "a bad word"}], metadata={"k": "bad", "n": 1})
    heard = await walked(SOFT, up, body=body)
    sent = orjson.loads(up.asks[0].body)
    assert sent == ask([{"type": "text", "text": "a [gone] word"}], metadata={"k": "[gone]", "n": 1})
    assert (heard.record.verdict, heard.record.judgements[0].count) == ("redact", 2)


async def test_a_fields_name_that_would_be_rewritten_is_refused() -> None:
    up = answering()
    heard = await walked(SOFT, up, body=ask("fine", metadata={"bad": 1}))
    assert (heard.status, up.asks) == (400, [])
    assert heard.record.outcome == "blocked"


async def test_a_rail_that_fails_is_told_apart_from_one_that_blocks() -> None:
    async def act(_: Subject) -> list[Verdict]:
        raise KeyError("secret text")

    up = answering()
    heard = await walked(policy(inward=[bound(Doing("r", act))]), up, body=ask("x"))
    assert (heard.status, heard.headers["retry-after"], up.asks) == (503, "1", [])
    assert (heard.json()["error"]["code"], heard.headers["x-tidegate-verdict"]) == ("policy_unavailable", "unavailable")
    assert "secret" not in heard.raw.decode()
    assert (heard.record.outcome, heard.record.verdict) == ("unavailable", "unavailable")


async def test_a_policy_that_watches_lets_everything_pass_and_says_what_it_saw() -> None:
    rails = [bound(Words(u.value, ("bad",), Action.BLOCK, u), enforced=False) for u in Unit]
    up = answering(completion("bad"))
    heard = await walked(policy(inward=rails, outward=rails), up, body=ask("bad"))
    assert heard.json() == completion("bad")
    assert (heard.record.outcome, heard.record.verdict) == ("completed", "allow")
    assert len(heard.record.judgements) == 6
    assert all(j.action == "block" and not j.enforced for j in heard.record.judgements)


async def test_the_key_may_bring_its_own_policy() -> None:
    heard = Heard()
    line = pipeline(NOTHING, [answering()], heard)
    line.policies = {"default": NOTHING, "strict": BAD}
    await line.run(replace(call(ask("bad")), principal=Principal("app", "strict")), heard)
    assert (heard.record.outcome, heard.record.principal) == ("blocked", "app")


# Bad requests


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        (b"", 400, None),
        (b"{", 400, None),
        (b'{"model":"m","model":"m","messages":[{"role":"user"}]}', 400, None),
        ({"model": "m"}, 400, "messages"),
        (ask("x", model=7), 400, "model"),
        (ask([{"type": "video"}]), 422, "messages[0].content[0].type"),
        (ask("x", model="other"), 404, "model"),
        (ask("x", model="sk-secret\n" * 1000), 404, "model"),
    ],
)
async def test_a_bad_request_is_refused_in_the_envelope_and_recorded(body: Any, status: int, param: str | None) -> None:
    up = answering()
    heard = await walked(NOTHING, up, body=body)
    error = heard.json()["error"]
    assert (heard.status, error["param"], error["type"]) == (status, param, "invalid_request_error")
    assert set(error) == {"message", "type", "param", "code"}
    assert up.asks == []
    record = heard.record
    assert (record.outcome, record.status, record.route, record.verdict) == ("rejected", status, "", "allow")
    assert record.model == ""  # what a client asks for is its own text until it is found to be a name of ours
    assert "sk-secret" not in heard.raw.decode()
    assert record.received == len(body if isinstance(body, bytes) else orjson.dumps(body))
    assert heard.begun == 0


async def test_every_answer_says_who_it_is_and_what_it_cost() -> None:
    for heard in (
        await walked(NOTHING, answering()),
        await walked(NOTHING, Canned(stream_of(HELLO)), body={**ASK, "stream": True}),
        await walked(BAD, answering(), body=ask("bad")),
        await walked(NOTHING, answering(), body=b"{"),
        await walked(NOTHING, Canned([], error=UpstreamUnreachable("refused"))),
    ):
        assert heard.headers["x-request-id"] == heard.record.id == "req_1"
        assert heard.headers["x-tidegate-verdict"] == heard.record.verdict
        assert 0 <= float(heard.headers["x-tidegate-overhead-ms"]) < 5000


async def test_time_spent_on_the_upstream_is_not_overhead() -> None:
    class Slow(Canned):
        async def _said(self) -> Any:
            await asyncio.sleep(0.3)
            for chunk in self.chunks:
                yield chunk

    for body in (ASK, {**ASK, "stream": True}):
        up = Slow(stream_of(HELLO)) if "stream" in body else Slow([orjson.dumps(HELLO)], (JSON,))
        heard = await walked(NOTHING, up, body=body)
        assert float(heard.headers["x-tidegate-overhead-ms"]) < 250
        assert heard.record.timing.upstream >= 0.3


# The answer, judged


async def test_a_blocked_answer_is_replaced_by_the_error() -> None:
    heard = await unstreamed(BAD, completion("so bad"))
    assert (heard.status, heard.json()["error"]["code"]) == (400, "content_filter")
    assert b"so " not in heard.raw
    record = heard.record
    assert (record.outcome, record.usage.output, record.usage.estimated) == ("blocked", 2, False)
    assert heard.answers[0].text == "so bad"


async def test_a_rewritten_answer_loses_its_logprobs_and_keeps_the_rest() -> None:
    answer = completion("so bad", extra={"n": 1.5})
    answer["choices"][0]["logprobs"] = {"content": [{"token": "so", "logprob": -1}]}
    heard = await unstreamed(SOFT, answer)
    expected = completion("so [gone]", extra={"n": 1.5}, usage=answer["usage"])
    expected["choices"][0]["logprobs"] = None
    assert heard.json() == expected
    assert heard.record.verdict == "redact"


async def test_a_block_waits_for_nobody() -> None:
    async def forever(_: Subject) -> list[Verdict]:
        await asyncio.Event().wait()
        return []

    watching = Doing("w", forever, Unit.ANSWER)
    rules = policy(outward=[bound(Words("out", ("bad",))), bound(watching, enforced=False)])
    async with asyncio.timeout(10):
        heard = await unstreamed(rules, completion("bad"))
    assert heard.record.outcome == "blocked"
    assert len(asyncio.all_tasks()) == 1


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_every_string_byte_is_scanned(data: st.DataObject) -> None:
    """Counted here by what the codec calls text; that it calls everything so is test_chat's business."""
    extra = data.draw(
        st.dictionaries(st.text(max_size=3), st.text(max_size=5) | st.lists(st.text(max_size=5)), max_size=3)
    )
    body, answer = {**extra, **ask("hé")}, {**completion("wörld"), "x": extra}
    heard = run(walked(BAD, answering(answer), body=json.dumps(body).encode(errors="replace")))
    if heard.record.outcome == "completed":
        sizes = [len(p.text.encode()) for p in chat.prompts(body)] + [len(d.text.encode()) for d in chat.deltas(answer)]
        assert heard.record.scanned == heard.record.scannable == sum(sizes)


# Ends that are nobody's wish


async def test_a_fault_of_ours_is_an_error_and_a_record() -> None:
    heard = Heard()
    line = pipeline(NOTHING, [answering()], heard)
    line.policies = {}
    await line.run(call(ASK), heard)
    assert heard.status == 500
    assert heard.json()["error"] == {
        "message": "The gateway failed to handle this request.",
        "type": "server_error",
        "param": None,
        "code": None,
    }
    assert (heard.record.outcome, heard.record.error) == ("failed", "KeyError")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("after", [0, 1])
async def test_a_client_that_leaves_cancels_the_upstream_and_is_recorded(after: int, stream: bool) -> None:
    class Endless(Canned):
        async def _said(self) -> Any:
            self.open += 1
            try:
                for chunk in self.chunks[:after]:
                    yield chunk
                await asyncio.Event().wait()
            finally:
                self.open -= 1

    up = Endless(stream_of(delta("12345678")), (SSE,) if stream else (JSON,))
    heard = Heard()
    line = pipeline(NOTHING, [up], heard)
    task = asyncio.create_task(line.run(call({**ASK, "stream": stream}), heard))
    async with asyncio.timeout(10):
        while not up.open or len(heard.pieces) < (after if stream else 0):  # noqa: ASYNC110  the client only listens
            await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert up.open == 0
    (record,) = heard.records
    assert (record.outcome, record.error) == ("cancelled", "client_gone")
    assert (record.usage.input, record.usage.output, record.usage.estimated) == (2, 2 * after * stream, True)
    assert record.timing.finished is not None
    assert len(asyncio.all_tasks()) == 1


async def test_a_client_that_leaves_before_the_upstream_answered_is_recorded() -> None:
    class Silent(Canned):
        def send(self, ask: Any) -> Any:
            self.asks.append(ask)
            return _Waiting()

    heard, up = Heard(), Silent([])
    task = asyncio.create_task(pipeline(NOTHING, [up], heard).run(call(ASK), heard))
    async with asyncio.timeout(10):
        while not up.asks:  # noqa: ASYNC110  as above
            await asyncio.sleep(0.001)
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (record,) = heard.records
    assert (record.outcome, record.tried, record.upstream) == ("cancelled", ["up"], "")
    assert record.timing.upstream >= 0.05
    assert record.usage.estimated
    assert record.usage.output == 0


class _Waiting:
    async def __aenter__(self) -> None:
        await asyncio.Event().wait()

    async def __aexit__(self, *_: object) -> None: ...


async def test_a_client_that_leaves_with_the_last_event_has_had_its_answer() -> None:
    class Leaving(Heard):
        async def write(self, chunk: bytes, headers: Any) -> None:
            await super().write(chunk, headers)
            if b"[DONE]" in chunk:
                raise asyncio.CancelledError

    heard = Leaving()
    with pytest.raises(asyncio.CancelledError):
        await pipeline(NOTHING, [Canned(stream_of(HELLO))], heard).run(call({**ASK, "stream": True}), heard)
    assert heard.record.outcome == "completed"


async def test_a_pipeline_is_quick_about_a_long_history() -> None:
    turns = [{"role": "user", "content": f"turn {n}"} for n in range(20_000)]
    began = time.process_time()
    heard = await walked(
        SOFT, answering(), body={"model": "m", "messages": [*turns, {"role": "user", "content": "bad"}]}
    )
    assert heard.record.outcome == "completed"
    assert time.process_time() - began < 5
