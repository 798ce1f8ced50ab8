"""A service decides: what it is asked, how that is signed, what its answers come to, and that garbage is a fault."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # it has no stubs of its own
import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st
from support.answers import answer as replied
from support.deciding import PATIENT_S, SECRET, Canned, judged, rail
from support.judging import answer, asked, at_once, inspected
from support.rails import bound
from support.script import Close, Hang, Reset, Script, Send, head
from support.scripted import Server, refusing, scripted

from gateway.errors import UpstreamUnreachable, WorkerFault
from gateway.policy.docket import Docket
from gateway.policy.policy import Bench
from gateway.policy.rail import Subject
from gateway.policy.rails import contract, shape
from gateway.policy.verdict import ALLOW, Action, Edit, Finding, Verdict, applied
from gateway.upstream.pool import open_pool
from gateway.upstream.post import LARGEST, Post
from gateway.wire.passage import Passage

# What it is asked…


def test_a_service_is_asked_about_every_passage_that_says_something() -> None:
    service = Canned([{"verdicts": [{"action": "allow"}, {"action": "allow"}]}])
    path = ("choices", 0, "message", "content")
    passages = (answer("One.", path=path), answer(""), answer("Two \ud800", "reasoning", path))
    assert at_once(rail(service, name="dlp"), *passages, question="Why?") == [ALLOW] * 3
    body, _ = service.asked[0]
    said = {"path": ["choices", 0, "message", "content"], "role": "assistant", "direction": "output"}
    assert json.loads(body) == {
        "version": 1,
        "policy": "support",
        "rail": "dlp",
        "stage": "output",
        "question": "Why?",
        "passages": [
            {**said, "channel": "content", "text": "One."},
            {**said, "channel": "reasoning", "text": "Two \ufffd"},
        ],
    }


def test_a_service_is_not_asked_about_nothing() -> None:
    service = Canned([])
    assert at_once(rail(service), asked(""), asked("")) == [ALLOW, ALLOW]
    assert service.asked == []


@given(st.lists(st.builds(Passage, st.just((1, "a")), st.text(), st.just("input"), st.text(), st.text()), max_size=4))
def test_every_question_keeps_to_the_published_contract(passages: list[Passage]) -> None:
    service = Canned([{"verdicts": [{"action": "allow"}] * sum(bool(p.text) for p in passages)}])
    at_once(rail(service), *passages)
    for body, _ in service.asked:
        jsonschema.Draft202012Validator(contract.REQUEST).validate(json.loads(body))


@pytest.mark.parametrize(
    ("secret", "key"),
    [(SECRET, SECRET.encode()), ("whsec_" + base64.b64encode(b"k" * 24).decode(), b"k" * 24)],
)
def test_requests_are_signed_over_id_time_and_body(secret: str, key: bytes) -> None:
    service = Canned([{"verdicts": [{"action": "allow"}]}] * 2)
    one = rail(service, secret=secret)
    for _ in range(2):
        at_once(one, asked("Hello"))
    for body, headers in service.asked:
        told, when = headers["webhook-id"], headers["webhook-timestamp"]
        said = base64.b64encode(hmac.new(key, f"{told}.{when}.".encode() + body, sha256).digest()).decode()
        assert headers["webhook-signature"] == f"v1,{said}"
        assert int(when) > 1_700_000_000
    assert len({headers["webhook-id"] for _, headers in service.asked}) == 2


def test_without_a_secret_nothing_is_signed() -> None:
    service = Canned([{"verdicts": [{"action": "allow"}]}])
    at_once(rail(service), asked("Hello"))
    assert set(service.asked[0][1]) == {"webhook-id", "webhook-timestamp"}


# What its answers come to…


def test_an_answer_may_be_larger_than_what_it_is_about() -> None:
    text = "a" * (2 * shape.LARGEST)
    (said,) = judged({"action": "redact", "text": text + "!"}, texts=(text,))
    assert said.edits == frozenset({Edit(len(text), len(text), "!")})


def test_each_verdict_goes_to_its_passage() -> None:
    said = judged(
        {"action": "allow"},
        {"action": "flag", "rule": "tone"},
        {"action": "redact", "rule": "name", "edits": [{"start": 7, "end": 10, "new": "[NAME]"}]},
        {"action": "block"},
        texts=("a", "b", "Hello, Ann.", "c"),
    )
    assert [v.action for v in said] == list(Action)
    assert [v.findings for v in said[1:3]] == [
        frozenset({Finding("webhook", "tone")}),
        frozenset({Finding("webhook", "name")}),
    ]
    assert applied("Hello, Ann.", said[2].edits) == "Hello, [NAME]."


@given(st.text("ab😀", min_size=1), st.text("ab😀"))
def test_a_text_in_place_of_another_becomes_the_edit_that_makes_it(old: str, new: str) -> None:
    (said,) = judged({"action": "redact", "text": new}, texts=(old,))
    assert applied(old, said.edits) == new


@given(st.lists(st.integers(0, 11), min_size=2, max_size=6).map(sorted))
def test_edits_are_made_in_whatever_order_they_come(marks: list[int]) -> None:
    text = "Hello, Ann."
    spans = list(zip(marks[::2], marks[1::2], strict=False))
    edits = [{"start": a, "end": b, "new": "-"} for a, b in reversed(spans)]
    (said,) = judged({"action": "redact", "edits": edits})
    assert said.edits == frozenset(Edit(a, b, "-") for a, b in spans)
    assert applied(text, said.edits).count("-") == len(set(spans))


def test_a_service_that_may_only_flag_only_flags() -> None:
    redaction = {"action": "redact", "edits": [{"start": 0, "end": 1, "new": ""}]}
    said = judged({"action": "block"}, redaction, {"action": "allow"}, texts=("a", "b", "c"), action="flag")
    assert [(v.action, v.edits) for v in said] == [(Action.FLAG, frozenset())] * 2 + [(Action.ALLOW, frozenset())]


GARBAGE: tuple[Any, ...] = (
    b"",
    b"ok",
    b"\xff\xfe",
    b"[]",
    b"null",
    b'{"verdicts": [{"action": "allow"}], "verdicts": []}',
    b"[" * 100_000,
    {},
    {"verdicts": {}},
    {"verdicts": []},
    {"verdicts": [{"action": "allow"}, {"action": "allow"}]},
    {"verdicts": [{"action": "allow"}], "more": 1},
    {"verdicts": [{}]},
    {"verdicts": ["allow"]},
    {"verdicts": [None]},
    {"verdicts": [{"action": "ALLOW"}]},
    {"verdicts": [{"action": "pass"}]},
    {"verdicts": [{"action": True}]},
    {"verdicts": [{"action": "allow", "why": "it is fine"}]},
    {"verdicts": [{"action": "block", "rule": "he said: my number is 555"}]},
    {"verdicts": [{"action": "block", "rule": ""}]},
    {"verdicts": [{"action": "block", "rule": "a\n"}]},
    {"verdicts": [{"action": "redact"}]},
    {"verdicts": [{"action": "redact", "edits": []}]},
    {"verdicts": [{"action": "redact", "text": 1}]},
    {"verdicts": [{"action": "redact", "text": "\ud800"}]},
    {"verdicts": [{"action": "redact", "text": "a", "edits": [{"start": 0, "end": 1, "new": ""}]}]},
    {"verdicts": [{"action": "allow", "text": "a"}]},
    {"verdicts": [{"action": "redact", "edits": [{"start": 0, "end": 12, "new": ""}]}]},
    {"verdicts": [{"action": "redact", "edits": [{"start": 2, "end": 1, "new": ""}]}]},
    {"verdicts": [{"action": "redact", "edits": [{"start": -1, "end": 1, "new": ""}]}]},
    {"verdicts": [{"action": "redact", "edits": [{"start": 0.5, "end": 1, "new": ""}]}]},
    {"verdicts": [{"action": "redact", "edits": [{"start": 0, "end": 1}]}]},
    {
        "verdicts": [
            {"action": "redact", "edits": [{"start": 0, "end": 3, "new": ""}, {"start": 2, "end": 4, "new": ""}]}
        ]
    },
)


@pytest.mark.parametrize("said", GARBAGE, ids=lambda said: str(said)[:60])
def test_an_answer_that_breaks_the_contract_is_a_fault_that_tells_no_text(said: Any) -> None:
    with pytest.raises(WorkerFault) as caught:
        at_once(rail(Canned([said])), asked("Hello, Ann."))
    assert "Ann" not in str(caught.value)
    assert "555" not in str(caught.value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 12) | st.sampled_from(["allow", "redact", "block", "a"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["action", "rule", "edits", "text", "start", "end", "new"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)


@given(json_values)
def test_whatever_a_service_answers_is_judged_by_the_contract_or_is_a_fault(said: Any) -> None:
    body = {"verdicts": [said]}
    valid = jsonschema.Draft202012Validator(contract.ANSWER).is_valid(body)
    try:
        (verdict,) = at_once(rail(Canned([body])), asked("Hello, Ann."))
    except WorkerFault:
        assert not valid or said["action"] == "redact"
    else:
        assert valid
        assert verdict.action.word == said["action"]


def test_a_connection_that_was_just_closed_is_tried_once_more_with_the_same_id() -> None:
    gone = UpstreamUnreachable("closed")
    service = Canned([gone, {"verdicts": [{"action": "block"}]}])
    (said,) = at_once(rail(service), asked("Hello"))
    assert said.action is Action.BLOCK
    assert service.asked[0] == service.asked[1]


# Against a server…


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Server]:
    async with scripted() as found:
        yield found


async def verdict_of(url: str, deadline_s: float = PATIENT_S, on_error: Any = "closed") -> tuple[Verdict, str]:
    """What a policy makes of one passage, and of what fault."""
    async with open_pool() as pool:
        docket = Docket()
        one = bound(rail(Post(pool), url), deadline_s=deadline_s, on_error=on_error)
        (said,) = await Bench([one], "input", docket).judged(Subject([asked("Hello, Ann.")]))
        return said, docket.lines["input", "webhook"].fault


async def test_a_service_on_the_wire_decides(server: Server) -> None:
    server.play(replied({"verdicts": [{"action": "block", "rule": "tone"}]}))
    said, fault = await verdict_of(server.base_url)
    assert (said.action, fault, said.fault) == (Action.BLOCK, "", False)
    assert server.seen[0].json()["passages"][0]["text"] == "Hello, Ann."


HALF = head(200, [("content-length", "100")]) + b'{"verdicts": [{"action": "allow"}'
FAULTS = {
    "silent": (Script((Hang(),)), "timeout"),
    "stops": (Script((Send(HALF), Hang())), "timeout"),
    "closes": (Script((Close(),)), "lost"),
    "resets": (Script((Reset(),)), "lost"),
    "is cut off": (Script((Send(HALF), Close())), "error"),
    "is not HTTP": (Script((Send(b"220 smtp ready\r\n"), Close())), "error"),
    "says something else": (replied({"ok": True}), "error"),
    "says nothing": (replied(b""), "error"),
    "is too large": (replied("x" * (LARGEST + 1)), "error"),
    "is too large, and valid": (replied(b" " * LARGEST + b'{"verdicts": [{"action": "allow"}]}'), "error"),
    "redirects": (replied(b"", 307, [("location", "http://127.0.0.1:1/")]), "error"),
    "allows with another status": (replied({"verdicts": [{"action": "allow"}]}, 202), "error"),
    "allows in an error": (replied({"verdicts": [{"action": "allow"}]}, 500), "error"),
}


@pytest.mark.parametrize("case", FAULTS)
async def test_a_service_that_fails_is_no_pass(server: Server, case: str) -> None:
    script, fault = FAULTS[case]
    server.always(script)
    deadline_s = 0.5 if fault == "timeout" else PATIENT_S
    said, told = await verdict_of(server.base_url, deadline_s)
    assert (said.action, told, said.fault) == (Action.BLOCK, fault, True)
    said, told = await verdict_of(server.base_url, deadline_s, "open")
    assert (said.action, told) == (Action.ALLOW, fault)


async def test_nobody_there_is_no_pass() -> None:
    with refusing() as url:
        said, fault = await verdict_of(url)
    assert (said.action, fault) == (Action.BLOCK, "lost")


async def test_exchanges_share_connections(server: Server) -> None:
    server.always(replied({"verdicts": [{"action": "allow"}]}))
    async with open_pool() as pool:
        one = rail(Post(pool), server.base_url)
        for _ in range(5):
            assert await inspected(one, asked("Hello")) == [ALLOW]
        assert server.accepted == 1
        await asyncio.gather(*(inspected(one, asked("Hello")) for _ in range(5)))
    assert server.accepted <= 5
