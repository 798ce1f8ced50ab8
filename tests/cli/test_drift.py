import re
from pathlib import Path

import pytest
from support.monitor_data import Traffic
from typer.testing import CliRunner

from gateway.cli.commands import app
from gateway.config.load import load
from gateway.errors import ConfigError
from gateway.monitor.desk import check, reference
from gateway.report.drift import page
from gateway.serve import watching
from gateway.serve.needs import needs

CONFIG = """
policies: p
events: {path: events.jsonl}
monitor: {state: state, drift: {words: shared}, signals: {topics: null}}
upstreams: [{name: a, kind: openai, base_url: "http://127.0.0.1:1/v1"}]
routes: [{model: m, upstreams: [a]}]
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "default.yaml").write_text("name: default\n")
    file = tmp_path / "gateway.yaml"
    file.write_text(CONFIG)
    return file


def test_only_a_gateway_that_is_told_to_watch_has_a_monitor(config: Path) -> None:
    names = [need.name for need in needs(load(config, {}))]
    assert names == ["scorer", "monitor"]
    told = watching.spec(load(config, {}))
    assert told is not None
    assert set(told["watch"]["signals"]) == {"accuracy", "complaints", "drift"}
    config.write_text(re.sub(r"monitor:.*\n", "", CONFIG))
    without = needs(load(config, {}))
    assert [need.name for need in without] == ["scorer"]
    assert "watched" not in str(without)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("{path: events.jsonl}", "{path: '-'}", "has to be a file"),
        ("policies: p", "policies: p\nscoring: null", "has no `scoring`"),
    ],
)
def test_a_monitor_that_could_see_nothing_is_refused(config: Path, old: str, new: str, said: str) -> None:
    config.write_text(CONFIG.replace(old, new))
    with pytest.raises(ConfigError, match=said):
        load(config, {})


def test_a_report_shows_what_drifted_and_no_text_that_was_not_kept(tmp_path: Path) -> None:
    traffic = Traffic(tmp_path)
    traffic.send(300)
    spools = [str(traffic.spool.path)]
    made = reference({"to": str(tmp_path / "r.npz"), "rows": 300, "events": [str(traffic.log)], "spools": spools})
    assert made["rows"] == {"prompts": 300, "exchanges": 300}
    for file in (traffic.spool.path, traffic.log):
        file.unlink()
    traffic.log.touch()
    traffic.send(200, new=0.25)
    asked = {"reference": str(tmp_path / "r.npz"), "rows": 200, "alpha": 0.01, "seed": 1, "spools": spools}
    found = check({**asked, "events": [str(traffic.log)]})
    assert found == check({**asked, "events": [str(traffic.log)]})
    prompts, exchanges = found["streams"]
    assert (prompts["drifting"], exchanges["drifting"]) == (True, False)
    html = page(found, {prompts["topics"][0]["examples"][0]: "<b>duty</b>"})
    assert html.count("<svg") == 2
    assert "customs" in html
    assert "&lt;b&gt;duty" in html
    assert "<script" not in html
    assert re.findall(r"(?:src|href)=\"(?!#)", html.replace("xlink:href", "href")) == []


@pytest.mark.engine
def test_a_check_without_a_reference_says_how_to_make_one(config: Path) -> None:
    log = config.parent / "events.jsonl"
    log.write_text("{}\n")
    done = CliRunner().invoke(app, ["drift", "check", str(log), "--config", str(config)])
    assert done.exit_code == 1
    assert "tidegate drift reference" in done.output


def test_help_teaches() -> None:
    for words in (["drift", "--help"], ["drift", "report", "--help"]):
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0
        assert "tidegate drift" in done.output
