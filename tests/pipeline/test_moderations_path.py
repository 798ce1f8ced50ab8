"""`/v1/moderations`: the operator's own rails asked what they think, and nothing done about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from support.paths import Canned, Heard, call, pipeline, walked
from support.rails import Doing, Words, bound, policy

from gateway.pipeline.run import Principal
from gateway.policy.policy import Policy
from gateway.policy.rail import Subject, Unit
from gateway.policy.verdict import Action, Verdict
from gateway.wire.codec import MODERATIONS

RAILS = [
    bound(Words("bad", ("bad",))),
    bound(Words("names", ("Ann",), Action.REDACT, Unit.SENTENCE)),
    bound(Words("odd", ("odd",), Action.FLAG, Unit.ANSWER)),
]
RULES = policy(inward=RAILS, outward=[bound(Words("out", ("fine",)))])


async def asked(given: Any, rules: Policy = RULES, **more: Any) -> Heard:
    up = Canned([])
    heard = await walked(rules, up, body={"input": given, **more}, codec=MODERATIONS)
    assert up.asks == []
    return heard


def flags(heard: Heard) -> list[list[str]]:
    """The categories that are true, text by text."""
    assert heard.status == 200, heard.raw
    for result in heard.json()["results"]:
        assert result["flagged"] == any(result["categories"].values())
        assert {name: bool(score) for name, score in result["category_scores"].items()} == result["categories"]
    return [[name for name, yes in result["categories"].items() if yes] for result in heard.json()["results"]]


async def test_every_rail_is_heard_out_and_every_text_told_apart() -> None:
    heard = await asked(["bad Ann", "fine", "odd", "", "bad bad"])
    assert flags(heard) == [["bad", "names"], [], ["odd"], [], ["bad"]]
    assert set(heard.json()["results"][0]["categories"]) == {"bad", "names", "odd"}
    assert heard.json()["id"].startswith("modr-")


async def test_one_text_and_one_in_parts_have_one_result() -> None:
    assert flags(await asked("bad")) == [["bad"]]
    assert flags(await asked([{"type": "text", "text": "bad"}, {"type": "text", "text": "odd"}])) == [["bad", "odd"]]


async def test_it_leaves_a_record_of_what_was_said_and_that_nothing_was_done() -> None:
    heard = await asked("so bad Ann")
    record = heard.record
    assert (record.endpoint, record.outcome, record.verdict, record.status) == (
        "/moderations",
        "completed",
        "allow",
        200,
    )
    assert heard.headers["x-tidegate-verdict"] == "allow"
    assert (record.policy, record.digest, record.tried, record.usage.input) == ("default", "digest", [], 0)
    assert [(j.rail, j.action, j.enforced) for j in record.judgements] == [
        ("bad", "block", False),
        ("names", "redact", False),
        ("odd", "allow", False),
    ]
    assert record.scanned == record.scannable == len("so bad Ann")
    assert record.timing.input_rails is not None
    assert heard.begun == 1
    assert heard.answers == []


async def test_a_policy_that_watches_says_what_it_sees() -> None:
    watching = policy(inward=[replace(rail, enforced=False) for rail in RAILS])
    assert flags(await asked("bad", watching)) == [["bad"]]


async def test_without_input_rails_nothing_is_found() -> None:
    heard = await asked("bad", policy())
    assert flags(heard) == [[]]
    assert heard.json()["results"][0]["categories"] == {}


@pytest.mark.parametrize("on_error", ["closed", "open"])
async def test_a_rail_that_fails_is_no_answer_unless_its_policy_is_open(on_error: Any) -> None:
    async def act(_: Subject) -> Sequence[Verdict]:
        raise KeyError("secret text")

    heard = await asked("bad", policy(inward=[*RAILS, bound(Doing("broken", act), on_error=on_error)]))
    assert [j.fault for j in heard.record.judgements if j.rail == "broken"] == ["error"]
    if on_error == "open":
        assert flags(heard) == [["bad"]]
        return
    assert (heard.status, heard.json()["error"]["code"], heard.record.outcome) == (
        503,
        "policy_unavailable",
        "unavailable",
    )
    assert heard.record.verdict == heard.headers["x-tidegate-verdict"] == "unavailable"
    assert b"secret" not in heard.raw


# Whose policy


async def judged_by(model: str | None, principal: Principal, policies: dict[str, Policy], default: str) -> Heard:
    heard = Heard()
    line = pipeline(policies[default], [Canned([])], heard)  # the route `m` has the default one
    line.policies = policies
    body = {"input": "x"} | ({"model": model} if model is not None else {})
    await line.run(replace(call(body, MODERATIONS), principal=principal), heard)
    return heard


@pytest.mark.parametrize("model", [None, "omni-moderation-latest", "text-moderation-stable"])
@pytest.mark.parametrize(("bound_to", "judge"), [(None, "default"), ("strict", "strict")])
async def test_without_a_model_of_ours_the_keys_policy_judges_or_the_default(
    model: str | None, bound_to: str | None, judge: str
) -> None:
    policies = {name: policy(name=name) for name in ("default", "strict", "routed")}
    heard = await judged_by(model, Principal("app", bound_to), policies, "routed")
    assert (heard.record.policy, heard.record.route, heard.record.model) == (judge, "", "")
    assert heard.json()["model"] == (model or "tidegate")


@pytest.mark.parametrize(("bound_to", "judge"), [(None, "routed"), ("strict", "strict")])
async def test_a_model_of_ours_is_judged_as_its_route_is(bound_to: str | None, judge: str) -> None:
    policies = {name: policy(name=name) for name in ("default", "strict", "routed")}
    heard = await judged_by("m", Principal("app", bound_to), policies, "routed")
    assert (heard.record.policy, heard.record.route) == (judge, "m")


@pytest.mark.parametrize("model", [None, "sk-secret"])
async def test_where_nobody_is_there_to_judge_it_is_not_found(model: str | None) -> None:
    heard = await judged_by(model, Principal(), {"routed": policy(name="routed")}, "routed")
    assert (heard.status, heard.json()["error"]["param"], heard.record.outcome) == (404, "model", "rejected")
    assert b"sk-secret" not in heard.raw


@pytest.mark.parametrize(
    ("given", "status"),
    [([1, 2], 422), ([], 400), ([{"type": "image_url", "image_url": {"url": "data:,x"}}], 501), (None, 400)],
)
async def test_what_cannot_be_judged_is_refused(given: Any, status: int) -> None:
    heard = await asked(given)
    assert (heard.status, heard.record.outcome) == (status, "rejected")
    assert ("x-should-retry" in heard.headers) == (status == 501)
