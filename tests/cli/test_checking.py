"""`tidegate check`: tests of policies, what a policy holds back, what it does not cover."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import Result
from support.operated import Site
from typer.testing import CliRunner

import gateway
from gateway.cli.commands import app

ROOT = Path(gateway.__file__).parent.parent
SECRET = {"pattern": {"name": "secrets", "deny": ["secret-[0-9]{4}"], "action": "redact"}}
WORD = {"pattern": {"name": "words", "deny": ["(?i:umbrella)"], "action": "block"}}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path)
    site.configure("http://127.0.0.1:1/v1")
    site.policy(input=[SECRET, WORD], output=[SECRET])
    return site


def check(site: Site, *words: str) -> Result:
    return CliRunner().invoke(app, ["check", str(site.file), *words])


def written(site: Site, *cases: dict[str, Any], stage: str = "input", policy: str = "default") -> Path:
    folder = site.policies / "tests"
    folder.mkdir(exist_ok=True)
    file = folder / f"{stage}.yaml"
    file.write_text(yaml.safe_dump({"policy": policy, "stage": stage, "cases": list(cases)}, sort_keys=False))
    return file


def lines(result: Result, sign: str) -> list[str]:
    return [" ".join(line.split()) for line in result.stdout.splitlines() if line.startswith(sign)]


def test_what_comes_out_as_it_should_is_ticked(site: Site) -> None:
    written(
        site,
        {"text": "hello", "verdict": "allow", "becomes": "hello"},
        {"text": "it is secret-1234", "verdict": "redact", "by": "secrets", "becomes": "it is [REDACTED]"},
        {"text": "secret-1234 under an Umbrella", "verdict": "block", "by": "words"},
    )
    result = check(site, "--tests")
    assert result.exit_code == 0, result.output
    assert len(lines(result, "✓")) == 3
    assert "3 cases, none failed" in result.stdout


@pytest.mark.parametrize(
    ("case", "why"),
    [
        ({"text": "umbrella", "verdict": "allow"}, "block words should be allow"),
        ({"text": "hello", "verdict": "block", "by": "words"}, "allow should be block by words"),
        ({"text": "umbrella", "verdict": "block", "by": "secrets"}, "block words should be by secrets"),
        ({"text": "secret-1234", "verdict": "redact", "becomes": "***"}, "redact secrets becomes '[REDACTED]'"),
    ],
)
def test_what_does_not_is_told_with_its_place_and_1(site: Site, case: dict[str, Any], why: str) -> None:
    file = written(site, {"text": "fine", "verdict": "allow"}, case)
    result = check(site, "--tests")
    assert result.exit_code == 1
    (line,) = lines(result, "✗")
    assert line == f"✗ {file}:6 default input {why}"
    assert "2 cases, 1 failed" in result.stdout


def test_every_turn_of_a_request_is_tried(site: Site) -> None:
    turns = [{"role": "user", "content": "an umbrella"}, {"role": "assistant", "content": "no"}]
    written(site, {"messages": turns, "text": "then not", "verdict": "block", "by": "words"})
    assert check(site, "--tests").exit_code == 0


def test_answers_are_tried_by_the_rails_of_the_output(site: Site) -> None:
    written(
        site, {"text": "umbrella secret-1234", "verdict": "redact", "becomes": "umbrella [REDACTED]"}, stage="output"
    )
    assert check(site, "--tests").exit_code == 0


def test_a_policy_in_shadow_mode_is_tried_as_if_it_acted(site: Site) -> None:
    site.policy(mode="shadow", input=[SECRET, WORD])
    written(site, {"text": "umbrella", "verdict": "block", "by": "words"})
    result = check(site, "--tests")
    assert result.exit_code == 0, result.output
    assert "not covered everything: in shadow mode it judges and records, and never acts" in " ".join(
        result.stdout.split()
    )


def test_no_tests_are_no_failure_but_told(site: Site) -> None:
    result = check(site, "--tests")
    assert result.exit_code == 0
    assert f"no tests: there is no *.yaml in {site.policies / 'tests'}" in result.stdout.replace("\n", "")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"policy": "defualt"}, ":1: policy: no policy named 'defualt'; did you mean 'default'?"),
        ({"stage": "inputs"}, ":2: stage: 'inputs' is not known; did you mean 'input'? (one of: input, output)"),
        ({"cases": [{"verdict": "allow"}]}, ":4: cases[0]: gives nothing to judge: give it `text` or `messages`"),
        ({"cases": [{"text": "x", "verdict": "denied"}]}, ":5: cases[0].verdict: 'denied' is not known"),
        (
            {"cases": [{"text": "x", "verdict": "allow", "by": "word"}]},
            ":6: cases[0].by: no input rail named 'word'; did you mean 'words'?",
        ),
        ({"cases": [{"text": "x", "verdict": "block", "becomes": "y"}]}, "what is blocked becomes nothing"),
        ({"stage": "output", "cases": [{"messages": [{}], "verdict": "allow"}]}, "an answer is judged: give it `text`"),
    ],
)
def test_a_file_that_is_no_test_is_refused_with_its_line(site: Site, change: dict[str, Any], said: str) -> None:
    file = written(site, {"text": "x", "verdict": "allow"})
    document = yaml.safe_load(file.read_text()) | change
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    result = check(site, "--tests")
    assert result.exit_code == 1
    assert f"{file}:" in result.stderr
    assert said in result.stderr


@pytest.mark.parametrize(
    ("output", "held"),
    [
        ([SECRET], "a possible match, 11 characters at most (secrets)"),
        ([{"pattern": {"deny": ["a+b"]}}, SECRET], "a possible match, however long (pattern)"),
        ([SECRET, {"pii": {}}], "a sentence (pii)"),
        ([{"nemo": {"name": "n", "config": "nemo", "unit": "answer"}}, {"pii": {}}], "the whole answer (n)"),
        ([{"pattern": {"deny": ["a+b"], "action": "flag"}}], "nothing"),
    ],
)
def test_the_worst_hold_of_a_policy_is_told(site: Site, output: list[dict[str, Any]], held: str) -> None:
    (site.policies / "nemo").mkdir()
    (site.policies / "nemo" / "config.yml").write_text("models: []\n")
    site.policy(output=output)
    assert f"held at most {held}" in " ".join(check(site).stdout.split())


def test_what_is_not_covered_is_told(site: Site) -> None:
    site.policy(input=[{"pii": {"entities": ["EMAIL_ADDRESS"], "on_error": "open"}}])
    site.policy("lonely")
    said = " ".join(check(site).stdout.split())
    for words in (
        "not covered what models answer",
        "not covered what pii cannot judge in time (on_error: open)",
        "not covered personal data that is not asked for: ",
        "policy lonely is used by no route and no key",
    ):
        assert words in said
    assert "EMAIL_ADDRESS" not in said


@pytest.mark.engine
def test_the_shipped_policies_pass_their_tests() -> None:
    result = CliRunner().invoke(app, ["check", str(ROOT / "config" / "gateway.yaml"), "--tests"])
    assert result.exit_code == 0, result.output
    assert len(lines(result, "✓")) >= 19


def test_a_route_is_told_in_words(site: Site) -> None:
    base = {"kind": "openai", "base_url": "http://127.0.0.1:1/v1"}
    timeouts = {"connect_s": 1, "first_byte_s": 4, "total_s": 60}
    upstreams = [
        {"name": "up", **base, "timeouts": timeouts, "load": {"concurrency": 8, "queue": 9, "queue_s": 5}},
        {"name": "own", **base, "timeouts": timeouts, "price": {"input": 2, "output": 6}, "api_keys": ["a", "b"]},
    ]
    arms = [{"name": "old", "weight": 3, "upstreams": ["up"]}, {"name": "new", "upstreams": ["own"]}]
    routes = [
        {"model": "m", "aliases": ["n"], "upstreams": ["up", "own"], "retries": {"most": 1, "most_s": 2}},
        {"model": "b", "balance": "weight", "upstreams": [{"name": "up", "weight": 4}, "own"], "deadline_s": 3},
        {"model": "p", "balance": "price", "upstreams": ["up", "own"], "mirror": {"name": "own", "share": 0.25}},
        {"model": "s", "split": {"arms": arms}},
    ]
    site.configure("", upstreams=upstreams, routes=routes)
    result = check(site)
    assert result.exit_code == 0, result.output
    said = " ".join(result.stdout.split())
    for words in (
        "8 at once, 9 wait up to 5 s",
        "2 keys in turn",
        "m up, then own default also asked for as n asks again once, 20% of requests at most",
        "at most an answer begins within 34 s, or",  # (5+1+4 + 1+4) twice, and two pauses of 2 s
        "b by weight: up 80%, own 20% default an answer begins within 3 s",
        "p cheapest: own ($3.00 a million tokens), then up (no price is known) default 25% mirrored to own, 4 at once",
        "s split at random default 75% old: up 25% new: own",
    ):
        assert words in said
