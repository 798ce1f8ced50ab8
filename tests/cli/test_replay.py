"""`tidegate replay`: recorded traffic before another policy."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import Result
from support.answers import completion
from support.operated import Site
from support.paths import JSON, Canned, Heard, call, pipeline
from support.rails import Words, bound, policy
from typer.testing import CliRunner

from gateway.cli.commands import app
from gateway.cli.recorded import Log, verdict_of
from gateway.pipeline.capture import Mode
from gateway.record import completed

BLOCKING = {"pattern": {"name": "words", "deny": ["umbrella"], "action": "block"}}
WIDER = {"pattern": {"name": "words", "deny": ["umbrella", "parasol"], "action": "block"}}
STAMP = {"ts": "2026-01-02T03:04:05.000006Z", "process": 1}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path)
    site.configure("http://127.0.0.1:1/v1")
    site.policy(input=[BLOCKING])
    site.policy("wider", input=[WIDER], output=[WIDER])
    return site


def replay(site: Site, *words: str) -> Result:
    log = str(site.folder / "events.jsonl")
    return CliRunner().invoke(app, ["replay", log, "--config", str(site.file), *words])


def recorded(site: Site, exchanges: Mapping[str, tuple[str, str]], mode: Mode = "full") -> None:
    """Write the log of exchanges by id, each a question and an answer, as the gateway would under its first policy."""
    with (site.folder / "events.jsonl").open("ab") as log:
        for number, (ident, (question, answer)) in enumerate(exchanges.items(), 1):
            fields = asyncio.run(_record(question, answer, mode))
            log.write(orjson.dumps({"event": "exchange.completed", **STAMP, "seq": number, **fields, "id": ident}))
            log.write(b"\n")


async def _record(question: str, answer: str, mode: Mode) -> dict[str, Any]:
    heard = Heard()
    up = Canned([orjson.dumps(completion(answer))], (JSON,))
    line = pipeline(policy(inward=[bound(Words("words", ("umbrella",)))]), [up], heard)
    line.capture = mode
    messages = [{"role": "system", "content": "Be short."}, {"role": "user", "content": question}]
    await line.run(call({"model": "m", "messages": messages}), heard)
    return completed(heard.record)


TRAFFIC = {
    "a": ("an umbrella?", "no"),
    "b": ("a parasol?", "no"),
    "c": ("hello", "take a parasol"),
    "d": ("hello", "good day"),
}


def test_two_policies_are_compared_exchange_by_exchange(site: Site) -> None:
    recorded(site, TRAFFIC)
    result = replay(site, "--policy", "default", "--against", "wider", "--json")
    assert result.exit_code == 0, result.output
    found = orjson.loads(result.stdout)
    assert (found["exchanges"], found["without_text"], found["redacted_text"]) == (4, 0, 0)
    assert (found["before"]["would_block"], found["after"]["would_block"]) == (0.25, 0.75)
    assert found["verdicts"] == [
        {"before": "allow", "after": "allow", "count": 1},
        {"before": "allow", "after": "block", "count": 2},
        {"before": "block", "after": "block", "count": 1},
    ]
    assert [(one["id"], one["before"]["by"], one["after"]["by"]) for one in found["changed"]] == [
        ("b", [], ["words"]),
        ("c", [], ["words"]),
    ]
    assert found["before"]["recall"] is found["after"]["false_positive_rate"] is None


def test_without_the_first_the_record_is_what_is_compared(site: Site) -> None:
    recorded(site, TRAFFIC)
    site.policy("nothing")
    found = orjson.loads(replay(site, "--against", "nothing", "--json").stdout)
    assert found["before"]["policy"] == "as recorded"
    assert [(one["id"], one["before"]["verdict"], one["after"]["verdict"]) for one in found["changed"]] == [
        ("a", "block", "allow")
    ]


def test_labels_tell_recall_and_false_positives(site: Site) -> None:
    recorded(site, TRAFFIC)
    labels = site.folder / "labels.jsonl"
    said = {"a": "bad", "b": "attack", "c": "good", "d": "safe", "unheard": "bad"}
    labels.write_bytes(b"".join(orjson.dumps({"id": k, "label": v}) + b"\n" for k, v in said.items()))
    words = ("--policy", "default", "--against", "wider", "--labels", str(labels))
    found = orjson.loads(replay(site, *words, "--json").stdout)
    assert [(side["labelled"], side["recall"], side["false_positive_rate"]) for side in _sides(found)] == [
        (4, 0.5, 0.0),
        (4, 1.0, 0.5),
    ]
    printed = " ".join(replay(site, *words).stdout.split())
    assert "recall 50.00% (1 of 2) 100.00% (2 of 2)" in printed
    assert "false positives 0.00% (0 of 2) 50.00% (1 of 2)" in printed


def test_feedback_in_the_log_is_a_label_too(site: Site) -> None:
    feedback = {"event": "feedback.received", **STAMP, "seq": 9, "id": "b", "label": "bad"}
    (site.folder / "events.jsonl").write_bytes(orjson.dumps(feedback) + b"\n")
    recorded(site, TRAFFIC)
    found = orjson.loads(replay(site, "--policy", "default", "--against", "wider", "--json").stdout)
    assert [side["recall"] for side in _sides(found)] == [0.0, 1.0]


def test_what_differs_is_printed_without_any_text(site: Site) -> None:
    recorded(site, TRAFFIC)
    result = replay(site, "--policy", "default", "--against", "wider")
    said = " ".join(result.stdout.split())
    assert "4 exchanges of" in said
    assert "would block 25.00% 75.00%" in said
    assert "2 would have come out otherwise, or by another rail" in said
    assert "b allow block words" in said
    assert not {"umbrella", "parasol"} & set(said.replace("?", "").split())


def test_the_same_policy_changes_nothing(site: Site) -> None:
    recorded(site, TRAFFIC)
    assert (
        "No exchange would have come out otherwise." in replay(site, "--policy", "wider", "--against", "wider").stdout
    )


def test_a_policy_in_shadow_mode_is_judged_by_what_it_would_do(site: Site) -> None:
    recorded(site, TRAFFIC)
    site.policy("wider", mode="shadow", input=[WIDER], output=[WIDER])
    found = orjson.loads(replay(site, "--policy", "default", "--against", "wider", "--json").stdout)
    assert found["after"]["would_block"] == 0.75


def test_exchanges_without_text_and_lines_without_sense_are_counted(site: Site) -> None:
    recorded(site, {"x": ("hello", "hello")}, "none")
    recorded(site, {"y": ("hello", "hello")}, "redacted")
    with (site.folder / "events.jsonl").open("ab") as log:
        log.write(b'{"event":"exchange.completed"\n{"event":"exchange.completed","id":"z"}\n{"event":"other"}\n')
    found = orjson.loads(replay(site, "--against", "wider", "--json").stdout)
    counts = (found["exchanges"], found["without_text"], found["redacted_text"], found["broken_lines"])
    assert counts == (1, 1, 1, 2)


def test_scores_have_the_question_and_the_evidence_of_the_record(site: Site) -> None:
    recorded(site, {"x": ("How long?", "Two years.")})
    (exchange,) = Log(site.folder / "events.jsonl").exchanges()
    given = exchange.given(policy(context=("system",)))
    assert (given.question, given.context, given.system) == ("How long?", ["Be short."], ["Be short."])
    assert exchange.given(policy(context=("documents",))).context == []


@pytest.mark.parametrize("words", [("--against", "widr"), ("--policy", "defualt", "--against", "wider"), ()])
def test_a_policy_there_is_not_is_bad_usage(site: Site, words: tuple[str, ...]) -> None:
    recorded(site, TRAFFIC)
    assert replay(site, *words).exit_code == 2


def test_a_label_that_says_nothing_is_a_problem_with_its_line(site: Site) -> None:
    recorded(site, TRAFFIC)
    labels = site.folder / "labels.jsonl"
    labels.write_text('{"id": "a", "label": "bad"}\n\n{"id": "b", "label": "maybe"}\n')
    result = replay(site, "--against", "wider", "--labels", str(labels))
    assert result.exit_code == 1
    assert result.stderr.startswith(f"{labels}:3: should have an `id` and a `label`")


@pytest.mark.parametrize(
    ("label", "bad"),
    [("Bad", True), (True, True), (1, True), ("safe", False), (False, False), ("?", None), (None, None)],
)
def test_labels_are_read_in_the_words_people_use(label: object, bad: bool | None) -> None:
    assert verdict_of(label) is bad


@pytest.mark.engine
def test_engines_judge_recorded_traffic(site: Site) -> None:
    recorded(site, {"x": ("mail ada@example.org", "ok"), "y": ("hello", "ok")})
    site.policy("strict", input=[{"pii": {"action": "block"}}])
    found = orjson.loads(replay(site, "--against", "strict", "--json").stdout)
    assert [(one["id"], one["after"]) for one in found["changed"]] == [("x", {"verdict": "block", "by": ["pii"]})]


def _sides(found: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    return found["before"], found["after"]
