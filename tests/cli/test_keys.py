"""`tidegate keys`: the file keeps its comments and says one entry more or less, or stays as it is."""

from __future__ import annotations

import stat
from hashlib import sha256
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from gateway.cli.commands import app
from gateway.cli.keys import Unchanged, added, made, removed

HEAD = "# ours\nserver: {port: 1}   # why\n"
TAIL = "\n# who answers\nupstreams:\n  - {name: a}  # one\n"
FORMS = [
    HEAD + TAIL,
    (HEAD + TAIL).rstrip("\n"),
    HEAD + "keys:\n" + TAIL,
    HEAD + "keys: []  # none\n" + TAIL,
    HEAD + "keys: null\n" + TAIL,
    HEAD + "keys:\n  - name: x  # x's\n    sha256: '00'\n    limits: {a: 1}\n  # the end\n" + TAIL,
    HEAD + "keys:\n- {name: x, sha256: '00'}\n- name: y\n  routes:\n  - r\n  - s\n" + TAIL,
    TAIL + "keys:\n  -\n    name: x\n    policy: >\n      long\n      text\n",
]


def comments(text: str) -> list[str]:
    return [line.partition("#")[2] for line in text.splitlines() if "#" in line]


@pytest.mark.parametrize("text", FORMS)
@pytest.mark.parametrize("more", [{}, {"policy": "p", "routes": ["m"], "limits": {"usd_per_day": 2.5}}])
def test_an_entry_is_added_and_nothing_else_changes(text: str, more: dict[str, object]) -> None:
    _, entry = made("new", more)
    after = added(text, entry)
    before = yaml.safe_load(text)
    assert yaml.safe_load(after) == {**before, "keys": [*(before.get("keys") or []), entry]}
    assert comments(after) == comments(text)


@pytest.mark.parametrize("text", FORMS)
@given(names=st.lists(st.sampled_from("abcd"), min_size=1, max_size=4, unique=True))
def test_what_was_added_can_be_taken_away_again(text: str, names: list[str]) -> None:
    grown = text
    for name in ("last", *names):
        grown = added(grown, made(name)[1])
    for name in names:
        grown = removed(grown, name)
    had = yaml.safe_load(text).get("keys") or []
    assert [key["name"] for key in yaml.safe_load(grown)["keys"]] == [*(key["name"] for key in had), "last"]
    assert comments(grown) == comments(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (FORMS[5], "only key"),
        (HEAD, "no key named"),
        ("keys: [{name: x, sha256: a}, {name: y, sha256: b}]", "as a list"),
        ("keys: [", "line 1: not YAML"),
        ("- a\n", "not a mapping"),
    ],
)
def test_what_cannot_be_revoked_is_told(text: str, why: str) -> None:
    with pytest.raises(Unchanged, match=why):
        removed(text, "x")


def test_a_name_stands_once_and_an_entry_says_what_entries_may() -> None:
    with pytest.raises(Unchanged, match="already"):
        added(FORMS[5], made("x")[1])
    with pytest.raises(Unchanged, match="name"):
        made("no spaces")
    with pytest.raises(Unchanged, match="limits"):
        made("a", {"limits": {"usd_per_day": -1}})


def test_the_commands_change_the_file_and_show_the_key_once(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(HEAD + TAIL)
    file.chmod(0o640)
    made_ = CliRunner().invoke(app, ["keys", "new", "app", "-c", str(file), "--parallel-requests", "3", "--route", "m"])
    key = next(line.strip() for line in made_.stdout.splitlines() if line.startswith("  tg-"))
    (entry,) = yaml.safe_load(file.read_text())["keys"]
    assert entry["sha256"] == sha256(key.encode()).hexdigest()
    assert (entry["limits"], entry["routes"]) == ({"parallel_requests": 3}, ["m"])
    assert key not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    shown = CliRunner().invoke(app, ["keys", "list", "-c", str(file)]).stdout
    assert "app" in shown
    assert "parallel_requests 3" in shown
    refused = CliRunner().invoke(app, ["keys", "revoke", "app", "-c", str(file)])
    assert refused.exit_code == 1
    CliRunner().invoke(app, ["keys", "new", "other", "-c", str(file)])
    assert CliRunner().invoke(app, ["keys", "revoke", "app", "-c", str(file)]).exit_code == 0
    assert [one["name"] for one in yaml.safe_load(file.read_text())["keys"]] == ["other"]
    assert [path.name for path in tmp_path.iterdir()] == ["gateway.yaml"]


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    said = CliRunner().invoke(app, ["keys", "list", "-c", str(tmp_path / "none.yaml")])
    assert said.exit_code == 1
