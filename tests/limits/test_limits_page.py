"""docs/limits.md is true: its files load, its commands run in order."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from gateway.cli.commands import app
from gateway.config.load import load

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "limits.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for part in ("config", "policies"):
        shutil.copytree(ROOT / part, tmp_path / part)
    return tmp_path


def test_every_example_is_of_a_kind_that_is_tried_here() -> None:
    assert {language for language, _ in BLOCKS} == {"sh", "yaml"}


@pytest.mark.parametrize("block", [text for language, text in BLOCKS if language == "yaml"])
def test_its_files_load(folder: Path, block: str) -> None:
    file = folder / "config" / "gateway.yaml"
    said = yaml.safe_load(block)
    assert len(said) == 1
    file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), **said}))
    config = load(file, {})
    assert config.gateway.model_dump(mode="json", include=set(said))


def test_its_commands_run_in_order_and_leave_a_file_that_loads(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    file = folder / "config" / "gateway.yaml"
    before = file.read_text()
    assert CliRunner().invoke(app, ["keys", "new", "another"]).exit_code == 0  # the only key cannot be revoked
    (commands,) = [text for language, text in BLOCKS if language == "sh"]
    for line in commands.splitlines():
        done = CliRunner().invoke(app, shlex.split(line)[1:])
        assert done.exit_code == 0, done.output
    assert [key.name for key in load(file, {}).gateway.keys] == ["another"]
    assert set(re.findall("#.*", before)) == set(re.findall("#.*", file.read_text()))
