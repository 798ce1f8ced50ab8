"""`tidegate init`: a starter that is whole, and never overwrites."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

import gateway
from gateway.cli.commands import app
from gateway.config.load import load


def init(folder: Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["init", str(folder)])
    return result.exit_code, result.stdout, result.stderr


def test_what_init_writes_loads(tmp_path: Path) -> None:
    code, said, _ = init(tmp_path / "new" / "gateway")
    assert code == 0
    config = load(tmp_path / "new/gateway/config/gateway.yaml", {})
    assert {route.model for route in config.gateway.routes} == {"default", "support", "rag"}
    assert [word in said for word in ("tidegate check config/gateway.yaml", "tidegate serve --config")] == [True, True]


@pytest.mark.parametrize("name", ["config/gateway.yaml", "policies/default.yaml"])
def test_init_overwrites_nothing_and_then_writes_nothing(tmp_path: Path, name: str) -> None:
    own = tmp_path / name
    own.parent.mkdir()
    own.write_text("mine")
    code, _, err = init(tmp_path)
    assert code == 1
    assert name in err
    assert own.read_text() == "mine"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [own]


def test_an_installed_package_brings_its_own_starter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = tmp_path / "site" / "gateway" / "starter"
    (packed / "config").mkdir(parents=True)
    (packed / "config" / "gateway.yaml").write_text("packed")
    (packed / "policies" / "__pycache__").mkdir(parents=True)
    (packed / "policies" / "__pycache__" / "x.pyc").write_text("no")
    monkeypatch.setattr(gateway, "__file__", str(packed.parent / "__init__.py"))
    assert init(tmp_path / "out")[0] == 0
    assert [str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*") if p.is_file()] == [
        "config/gateway.yaml"
    ]
