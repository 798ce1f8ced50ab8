from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from gateway.cli.commands import app

pytestmark = pytest.mark.engine

CONTEXT = ["The Eiffel Tower was completed in 1889. It is 330 metres tall and stands in Paris."]
LINES = [
    {"id": "a", "question": "How tall?", "context": CONTEXT, "answer": "It is 330 metres tall. Ask Otto Brandt."},
    {"answers": ["In Paris.", "In Paris."]},
    {"answer": 7},
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("score")
    (folder / "policies").mkdir()
    (folder / "policies" / "default.yaml").write_text("name: default\n")
    settings: dict[str, Any] = {
        "policies": "policies",
        "upstreams": [{"name": "up", "kind": "openai", "base_url": "http://127.0.0.1:9/v1"}],
        "routes": [{"model": "m", "upstreams": ["up"]}],
    }
    (folder / "gateway.yaml").write_text(yaml.safe_dump(settings))
    (folder / "none.yaml").write_text(yaml.safe_dump({**settings, "scoring": None}))
    (folder / "answers.jsonl").write_text("\n".join(map(json.dumps, LINES)) + "\n\n{not json\n")
    return folder


def run(folder: Path, *more: str, config: str = "gateway.yaml") -> Any:
    command = ["score", str(folder / "answers.jsonl"), "--config", str(folder / config), *more]
    return CliRunner().invoke(app, command)


def test_every_line_has_its_scores_in_order_and_those_that_cannot_be_are_told(folder: Path) -> None:
    done = run(folder, "--out", str(folder / "scores.jsonl"))
    rows = [json.loads(line) for line in (folder / "scores.jsonl").read_text().splitlines()]
    assert (done.exit_code, [row["line"] for row in rows]) == (1, [1, 2, 3, 5])
    assert rows[0]["id"] == "a"
    assert rows[0]["data"][0]["sentences"][0]["evidence"]["text"] == "It is 330 metres tall and stands in Paris."
    assert [one["scores"]["consistency"] for one in rows[1]["data"]] == pytest.approx([1, 1], abs=0.01)
    assert "'answer' must be a string" in rows[2]["error"]
    assert "not valid JSON" in rows[3]["error"]
    assert "2 of 4 lines scored" in done.output


def test_a_table_has_a_row_an_answer_and_its_worst_sentence(folder: Path) -> None:
    run(folder, "--out", str(folder / "scores.csv"))
    with (folder / "scores.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["line"], row["index"]) for row in rows] == [("1", "0"), ("2", "0"), ("2", "1"), ("3", ""), ("5", "")]
    assert rows[0]["least_supported"] == "Ask Otto Brandt."
    assert 0 < float(rows[0]["groundedness"]) < 1
    assert rows[1]["groundedness"] == ""


def test_a_configuration_that_does_not_score_is_refused(folder: Path) -> None:
    done = run(folder, config="none.yaml")
    assert done.exit_code == 2
