from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import WorkerFault
from gateway.policy.rails import opinion
from gateway.policy.rails.batch import Batch, clean
from gateway.policy.rails.opinion import edit
from gateway.policy.verdict import ALLOW, Action, applied
from gateway.wire.passage import Passage

texts = st.text(st.characters(codec=None), max_size=30)
ACTIONS = [Action.FLAG, Action.REDACT, Action.BLOCK]


def passages(*said: str) -> list[Passage]:
    return [Passage((), "user", "input", text) for text in said]


def thinks(*, passed: bool = False, text: str | None = None, rules: tuple[str, ...] = (), fault: str = "") -> Any:
    return {"pass": passed, "text": text, "rules": list(rules), "fault": fault}


@given(st.lists(texts))
def test_each_text_is_asked_about_once_and_every_passage_gets_its_answer(said: list[str]) -> None:
    batch = Batch.of(passages(*said))
    assert len(set(batch.texts)) == len(batch.texts)
    assert "" not in batch.texts
    assert batch.spread([f"answer to {text}" for text in batch.texts]) == [
        f"answer to {clean(text)}" if text else None for text in said
    ]


@given(texts)
def test_clean_text_can_be_sent_and_is_as_long(text: str) -> None:
    assert json.loads(json.dumps(clean(text)).encode()) == clean(text)
    clean(text).encode()
    assert len(clean(text)) == len(text)


def test_too_few_answers_are_a_fault() -> None:
    with pytest.raises(WorkerFault):
        Batch.of(passages("a", "b")).spread(["one"])


@given(texts, texts)
def test_the_edit_makes_the_new_text_of_the_old(old: str, new: str) -> None:
    made = edit(old, new)
    assert applied(old, [made]) == new
    assert old[: made.start] == new[: made.start]


@given(texts, texts, st.text(min_size=1, max_size=5))
def test_the_edit_leaves_what_did_not_change(head: str, tail: str, middle: str) -> None:
    made = edit(head + tail, head + middle + tail)
    assert made.end - made.start == 0
    assert len(made.new) == len(middle)


@pytest.mark.parametrize("action", ACTIONS)
def test_what_passed_and_what_was_not_asked_about_is_allowed(action: Action) -> None:
    assert opinion.verdicts("r", action, passages("a", ""), [thinks(passed=True), None]) == [ALLOW, ALLOW]


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("text", [None, "b"])
def test_what_failed_gets_the_rails_action_and_a_block_where_there_is_nothing_to_put_in_its_place(
    action: Action, text: str | None
) -> None:
    (verdict,) = opinion.verdicts("r", action, passages("a"), [thinks(text=text, rules=("x", "y"))])
    assert verdict.action is (Action.BLOCK if action is Action.REDACT and text is None else action)
    assert {(f.rail, f.rule) for f in verdict.findings} == {("r", "x"), ("r", "y")}
    assert applied("a", verdict.edits) == ("b" if action is Action.REDACT and text else "a")


@pytest.mark.parametrize("action", ACTIONS)
def test_a_fault_is_raised_unless_another_text_is_blocked_anyway(action: Action) -> None:
    opinions = [thinks(fault="Boom"), thinks(rules=("x",)), thinks(passed=True)]
    if action is Action.FLAG:
        with pytest.raises(WorkerFault, match="r: Boom"):
            opinion.verdicts("r", action, passages("a", "b", "c"), opinions)
        return
    verdicts = opinion.verdicts("r", action, passages("a", "b", "c"), opinions)
    assert [(v.action, v.fault) for v in verdicts] == [
        (Action.BLOCK, True),
        (Action.BLOCK, False),
        (Action.ALLOW, False),
    ]
