from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from policy.conftest import POLICIES, Hosted
from policy.refusing import refusals
from support.workers import Worker

from gateway.config.policy import GuardrailsSpec, OnError, PolicySpec
from gateway.errors import ConfigError, WorkerFault, WorkerLost, WorkerTimeout
from gateway.policy.docket import Docket
from gateway.policy.policy import Bench, Bound
from gateway.policy.rail import Subject, Tools, Unit
from gateway.policy.rails import guardrails_ai
from gateway.policy.verdict import Action, Verdict, applied
from gateway.wire.passage import Passage

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="module")]

BACK_S = 2.0  # a killed server is replaced within this

OWN = """
validators:
  - {id: "python:counter_validators:NoRefunds", on_fail: fix, args: {word: refund}}
  - {id: "python:counter_validators:BadFix", on_fail: fix}
  - {id: "python:counter_validators:Broken"}
"""
Rail = Callable[..., guardrails_ai.GuardrailsRail]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def worker(
    hosted: Hosted, shipped: dict[str, PolicySpec], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Worker]:
    """All guards that ship, and one of an operator's own validators."""
    folder = tmp_path_factory.mktemp("policies")
    (folder / "own.yaml").write_text(OWN)
    (folder / "guards").symlink_to(POLICIES / "guards")
    own = PolicySpec(name="own", output=(GuardrailsSpec(kind="guardrails", spec="own.yaml"),))
    html = PolicySpec(name="html", output=(GuardrailsSpec(kind="guardrails", spec="guards/html.yaml"),))
    spec = guardrails_ai.spec([*shipped.values(), own, html], folder)
    async with hosted("guardrails", "guardrails_ai", spec) as one:
        yield one


@pytest.fixture
def rail(worker: Worker) -> Rail:
    def make(spec: str, action: str, deadline_s: float = 20.0) -> guardrails_ai.GuardrailsRail:
        written = GuardrailsSpec.model_validate({"kind": "guardrails", "spec": spec, "action": action})
        return guardrails_ai.build(written, Tools({"guardrails": worker.client}, deadline_s))

    return make


async def judged(rail: guardrails_ai.GuardrailsRail, *texts: str) -> Sequence[Verdict]:
    return await rail.inspect(Subject([Passage((), "assistant", "output", text) for text in texts]))


@pytest.mark.parametrize(
    ("spec", "bad", "rule"),
    [
        ("guards/topics.yaml", "can I have some Investment  advice?", "guardrails/ban_list"),
        ("guards/topics.yaml", "x" * 20_001, "guardrails/valid_length"),
        ("guards/conduct.yaml", "you are a fucking idiot", "guardrails/profanity_free"),
        ("guards/output.yaml", "key = 'AKIAIOSFODNN7EXAMPLE'\n", "guardrails/secrets_present"),
        ("guards/network.yaml", "see http://wiki.corp.example.com/howto", "guardrails/internal_domains"),
        ("guards/length.yaml", "word " * 3000, "guardrails/reading_time"),
        ("guards/html.yaml", "<script>alert(1)</script>", "guardrails/web_sanitization"),
        ("own.yaml", "you get a refund", "desk/no_refunds"),
    ],
)
async def test_each_validator_blocks_what_it_is_for_and_lets_plain_text_pass(
    rail: Rail, spec: str, bad: str, rule: str
) -> None:
    good, blocked = await judged(rail(spec, "block"), "Our shop opens at nine.", bad)
    assert good == Verdict()
    assert blocked.action is Action.BLOCK
    assert [(f.rail, f.rule, f.count, f.fault) for f in blocked.findings] == [(spec, rule, 1, "")]


async def test_a_fix_becomes_an_edit_of_what_changed(rail: Rail) -> None:
    text = "you get a refund today"
    (verdict,) = await judged(rail("own.yaml", "redact"), text)
    assert verdict.action is Action.REDACT
    assert applied(text, verdict.edits) == "you get a voucher today"
    assert [(e.start, e.end) for e in verdict.edits] == [(10, 16)]


async def test_what_cannot_be_fixed_is_blocked_instead_of_redacted(rail: Rail) -> None:
    assert [v.action for v in await judged(rail("guards/conduct.yaml", "redact"), "fuck you")] == [Action.BLOCK]


async def test_a_fix_that_fails_again_is_no_fix(rail: Rail) -> None:
    assert [v.action for v in await judged(rail("own.yaml", "redact"), "a bad word")] == [Action.BLOCK]


async def test_a_flag_only_flags(rail: Rail) -> None:
    (verdict,) = await judged(rail("guards/conduct.yaml", "flag"), "fuck you")
    assert (verdict.action, verdict.edits) == (Action.FLAG, frozenset())


async def test_a_validator_that_raises_is_a_fault_and_what_it_raised_is_not_told(rail: Rail) -> None:
    with pytest.raises(WorkerFault) as told:
        await judged(rail("own.yaml", "block"), "raise 078-05-1120")
    assert "RuntimeError" in told.value.message
    assert "078" not in told.value.message


async def test_a_block_stands_beside_a_fault(rail: Rail) -> None:
    verdicts = await judged(rail("own.yaml", "block"), "raise", "refund", "fine")
    assert [v.action for v in verdicts] == [Action.BLOCK, Action.BLOCK, Action.ALLOW]
    assert [v.fault for v in verdicts] == [True, False, False]


async def test_a_flag_does_not_hide_a_fault(rail: Rail) -> None:
    with pytest.raises(WorkerFault):
        await judged(rail("own.yaml", "flag"), "raise", "refund")


async def test_ten_thousand_empty_passages_cost_no_call(rail: Rail, worker: Worker) -> None:
    await judged(rail("own.yaml", "block"), "warm")
    assert await judged(rail("own.yaml", "block", deadline_s=0.0), *[""] * 10_000) == [Verdict()] * 10_000


@pytest.mark.parametrize("text", ["half \ud800 a character", "nul \0 nul", "\u202eback\u200b", "é" * 5000, " ", "\n"])
async def test_odd_text_is_judged_like_any_other(rail: Rail, text: str) -> None:
    assert await judged(rail("guards/conduct.yaml", "block"), text) == [Verdict()]
    (verdict,) = await judged(rail("own.yaml", "redact"), text + "refund")
    assert applied(text + "refund", verdict.edits) == text + "voucher"


async def test_a_folded_guard_judges_what_disguised_text_reads(rail: Rail) -> None:
    hidden = ["some inve\u200bstment adv\u0456ce", "c29tZSBpbnZlc3RtZW50IGFkdmljZSBwbGVhc2U=", "Всё хорошо, спасибо"]
    verdicts = await judged(rail("guards/topics.yaml", "block"), *hidden)
    assert [v.action for v in verdicts] == [Action.BLOCK, Action.BLOCK, Action.ALLOW]
    assert [v.action for v in await judged(rail("own.yaml", "redact"), "a ref\u200bund")] == [Action.ALLOW]


async def test_a_megabyte_is_judged(rail: Rail) -> None:
    text = "The quick brown fox jumps over the lazy dog.\n" * 23_000
    verdicts = await judged(rail("guards/network.yaml", "redact"), text, text + "http://wiki.corp.example.com")
    assert [v.action for v in verdicts] == [Action.ALLOW, Action.REDACT]


async def test_calls_side_by_side_get_their_own_answers(rail: Rail) -> None:
    one = rail("own.yaml", "redact")
    texts = [f"{n} refund {n}" for n in range(40)]
    answers = await asyncio.gather(*(judged(one, text) for text in texts))
    assert [applied(t, a[0].edits) for t, a in zip(texts, answers, strict=True)] == [
        f"{n} voucher {n}" for n in range(40)
    ]


async def test_a_validator_that_backtracks_for_ever_costs_its_call_and_is_replaced(rail: Rail) -> None:
    with pytest.raises(WorkerTimeout):
        await judged(rail("own.yaml", "block", deadline_s=0.5), "backtrack")
    started = time.monotonic()
    assert [v.action for v in await judged(rail("own.yaml", "block"), "refund")] == [Action.BLOCK]
    assert time.monotonic() - started < BACK_S


async def test_a_validator_that_takes_the_worker_down_is_told_as_lost(rail: Rail) -> None:
    with pytest.raises(WorkerLost):
        await judged(rail("own.yaml", "block"), "die")
    assert [v.action for v in await judged(rail("own.yaml", "block"), "refund")] == [Action.BLOCK]


@pytest.mark.parametrize(("on_error", "action"), [("closed", Action.BLOCK), ("open", Action.ALLOW)])
@pytest.mark.parametrize(("text", "fault"), [("backtrack", "timeout"), ("die", "lost"), ("raise", "error")])
async def test_whatever_happens_to_the_worker_is_one_verdict_by_the_policy(
    rail: Rail, on_error: OnError, action: Action, text: str, fault: str
) -> None:
    await judged(rail("own.yaml", "block"), "warm")
    bound = Bound(rail("own.yaml", "block"), 0.5, on_error, enforced=True)
    bench = Bench([bound], "output", Docket())
    (verdict,) = await bench.judged(Subject([Passage((), "assistant", "output", text)]))
    assert verdict.action is action
    assert {f.fault for f in verdict.findings} == {fault}


async def test_the_unit_is_the_specs() -> None:
    tools = Tools({"guardrails": _Nobody()})
    units = [GuardrailsSpec(kind="guardrails", spec="x", unit=unit) for unit in ("sentence", "answer")]
    assert [guardrails_ai.build(spec, tools).unit for spec in units] == [Unit.SENTENCE, Unit.ANSWER]


class _Nobody:
    async def call(self, method: str, payload: Any, *, deadline_s: float) -> Any:
        raise AssertionError("nobody should be asked")


# Refusing to start…

_REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"id": "guardrails/ban_lists", "args": {"banned_words": ["x"]}}, "guardrails/ban_lists: no such validator is"),
    ({"id": "guardrails/ban_lists"}, "did you mean guardrails/ban_list?"),
    ({"id": "acme/nothing"}, "there are guardrails/ban_list, guardrails/contains_string"),
    ({"id": "guardrails/ban_list"}, "missing a required argument: 'banned_words'"),
    ({"id": "guardrails/has_url", "args": {"host": "x"}}, "unexpected keyword argument 'host'"),
    ({"id": "guardrails/valid_length", "args": {"max": "many"}}, "max is not a number"),
    ({"id": "guardrails/regex_match", "args": {"regex": "("}}, "cannot judge plain text"),
    ({"id": "guardrails/exclude_sql_predicates", "args": {"predicates": ["Nope"]}}, "Nope does not exist"),
    ({"id": "python:os.path:join"}, "is not a Guardrails AI validator class"),
    ({"id": "python:no_such_module:Class"}, "cannot be imported"),
]


@pytest.fixture(scope="module")
def told() -> list[str]:
    guards = [{"file": "guards/x.yaml", "validators": [{"line": 7, **one}]} for one, _ in _REFUSED]
    return refusals("guardrails_ai", [{"guards": {"x": guard}} for guard in guards])


@pytest.mark.parametrize("number", range(len(_REFUSED)))
async def test_a_guard_that_cannot_be_what_was_meant_keeps_the_worker_from_starting(
    told: list[str], number: int
) -> None:
    assert _REFUSED[number][1] in told[number]
    assert told[number].startswith("guards/x.yaml:7: ")


# Reading spec files…


def spec_of(tmp_path: Path, text: str) -> Any:
    (tmp_path / "x.yaml").write_text(text)
    policy = PolicySpec(name="p", input=(GuardrailsSpec(kind="guardrails", spec="x.yaml"),))
    return guardrails_ai.spec([policy], tmp_path)


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("validators:\n  - id: guardrails/ban_list\n    onfail: fix\n", 3, "unknown key; did you mean 'on_fail'?"),
        ("validators:\n  - id: guardrails/ban_list\n    on_fail: reask\n", 3, "'reask' is not known"),
        ("validators: []\n", 1, "should not be empty"),
        ("validators:\n\n  - {on_fail: fix}\n", 3, "is missing"),
        ("validators:\n  - id: ban list\n", 2, "should be guardrails/<name> or python:"),
        ("validators:\n  - id: [\n", 3, "not YAML"),
    ],
)
async def test_what_is_wrong_in_a_spec_file_is_told_with_its_line(
    tmp_path: Path, text: str, line: int, said: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        spec_of(tmp_path, text)
    (problem,) = refused.value.problems
    assert (problem.file, problem.line) == (str(tmp_path / "x.yaml"), line)
    assert said in problem.message


async def test_a_spec_carries_the_line_of_each_validator(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, "validators:\n  - id: guardrails/one\n\n  - id: guardrails/two\n    args: {n: [1, 2]}\n")
    assert [(v["id"], v["on_fail"], v["line"]) for v in spec["guards"]["x.yaml"]["validators"]] == [
        ("guardrails/one", "noop", 2),
        ("guardrails/two", "noop", 4),
    ]


async def test_no_guard_no_worker(tmp_path: Path) -> None:
    assert guardrails_ai.spec([PolicySpec(name="p")], tmp_path) is None
