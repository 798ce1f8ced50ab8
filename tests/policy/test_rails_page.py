"""Every policy in the documentation of rails loads and can be built; rails in wrong places do not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from gateway.config.load import load
from gateway.config.schema import Config
from gateway.errors import ConfigError
from gateway.policy.load import digest, policies
from gateway.policy.rail import Tools
from gateway.policy.rails import RAILS

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLES = [block for page in ("rails.md", "webhook.md") for block in re.findall(
    r"```yaml\n(.*?)```", (DOCS / page).read_text(), re.DOTALL
)]  # fmt: skip
NEW = {"schema", "tools", "topics", "leakage", "webhook"}
GATEWAY = """\
upstreams: [{name: up, kind: openai, base_url: "http://127.0.0.1:9/v1"}]
routes: [{model: m, upstreams: [up]}]
scoring: {encoder: minilm}
"""


class Nobody:
    async def call(self, method: str, payload: Any, *, deadline_s: float) -> Any:
        raise AssertionError("a rail that is built asks nobody")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("config", "policies/schemas"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "config" / "gateway.yaml").write_text(GATEWAY)
    (tmp_path / "policies" / "default.yaml").write_text("name: default\n")
    (tmp_path / "policies" / "schemas" / "ticket.json").write_text('{"type": "object"}')
    return tmp_path


def loaded(folder: Path, policy: str) -> Config:
    (folder / "policies" / "tried.yaml").write_text(policy)
    return load(folder / "config" / "gateway.yaml", {"DLP_SECRET": "a secret of some length"})


def problem(folder: Path, policy: str) -> str:
    with pytest.raises(ConfigError) as caught:
        loaded(folder, policy)
    return str(caught.value).removeprefix(f"{folder / 'policies' / 'tried.yaml'}:")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.splitlines()[0])
def test_an_example_loads_and_its_rails_can_be_built(folder: Path, example: str) -> None:
    config = loaded(folder, example)
    built = policies(config.policies, config.folder, Tools({"scorer": Nobody()}))
    (policy,) = (policy for policy in built.values() if policy.name != "default")
    kinds = {spec.kind for spec in (*policy.spec.input, *policy.spec.output)}
    assert kinds
    assert kinds <= NEW


def test_every_kind_of_rail_is_on_the_page() -> None:
    page = (DOCS / "rails.md").read_text()
    assert {kind for kind in RAILS if f"`{kind}`" in page} == set(RAILS)
    assert set(re.findall(r"^## (\w+)$", page, re.MULTILINE)) == NEW


@pytest.mark.parametrize("rail", ["schema: {schema: {}}", "leakage: {words: 12}"])
def test_what_judges_answers_does_not_stand_under_input(folder: Path, rail: str) -> None:
    kind = rail.partition(":")[0]
    said = problem(folder, f"name: tried\ninput:\n  - {rail}\n")
    assert said == f"3: input[0].{kind}: judges answers: a {kind} rail stands under output"


@pytest.mark.parametrize(
    ("rail", "place"),
    [
        ("schema: {file: schemas/tickets.json}", "output[0].schema.file"),
        ("tools: {arguments: {a: {file: schemas/tickets.json}}}", "output[0].tools.arguments.a.file"),
    ],
)
def test_a_file_that_is_not_there_is_a_problem_at_its_line(folder: Path, rail: str, place: str) -> None:
    said = problem(folder, f"name: tried\noutput:\n  - {rail}\n")
    assert said.startswith(f"3: {place}: no file ")
    assert said.endswith("did you mean 'ticket.json'?")


def test_examples_need_a_scorer_and_words_do_not(folder: Path) -> None:
    gateway = folder / "config" / "gateway.yaml"
    gateway.write_text(GATEWAY.replace("scoring: {encoder: minilm}\n", "scoring: null\n"))
    said = problem(folder, "name: tried\ninput:\n  - topics: {deny: {a: [b]}}\n")
    assert said == "3: input[0].topics: the gateway has no `scoring`"
    assert loaded(folder, "name: tried\ninput:\n  - topics: {keywords: {a: [b]}}\n")


def test_a_misspelt_key_is_answered_with_those_there_are(folder: Path) -> None:
    said = problem(folder, "name: tried\noutput:\n  - schema: {shema: {}}\n")
    assert "did you mean 'schema'?" in said
    assert "json_schema" not in said
    tool = problem(folder, "name: tried\noutput:\n  - tools: {arguments: {a: {shema: {}}}}\n")
    assert "did you mean 'schema'?" in tool


def test_a_policy_is_another_one_when_its_schema_files_change(folder: Path) -> None:
    config = loaded(folder, EXAMPLES[0])
    spec = config.policies["tickets"]
    before = digest(spec, config.folder)
    (config.folder / "schemas" / "ticket.json").write_text('{"type": "array"}')
    assert digest(spec, config.folder) != before
