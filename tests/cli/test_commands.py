"""The commands as a user meets them: help that teaches, problems on standard error, exit codes."""

from __future__ import annotations

import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
import yaml
from click.testing import Result
from typer.testing import CliRunner

import gateway
from gateway.cli.commands import app
from gateway.config.schema import Server

ROOT = Path(gateway.__file__).parent.parent
COMMANDS = ["serve", "check", "init", "tail", "replay", "keys", "demo", "version"]


def run(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def test_help_names_every_command() -> None:
    said = run("--help").stdout
    assert all(f" {name} " in said for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS[:-1])
def test_every_command_shows_an_example_of_itself(name: str) -> None:
    assert f"Example: tidegate {name}" in run(name, "--help").stdout


def test_help_imports_none_of_what_the_commands_need() -> None:
    code = (
        "import sys; sys.argv = ['tidegate', '--help']\nfrom gateway.cli import main\n"
        "try: main()\nexcept SystemExit as done: assert not done.code\n"
        "found = {'pydantic', 'yaml', 'starlette', 'uvicorn', 'orjson', 'asyncio.base_events'} & set(sys.modules)\n"
        "sys.exit(', '.join(found) or 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize(
    "words", [["nonsense"], ["check", "a", "b"], ["serve", "--port", "65536"], ["tail", "-n", "x"]]
)
def test_bad_usage_is_2(words: list[str]) -> None:
    assert run(*words).exit_code == 2


def test_version_is_the_packages() -> None:
    assert run("version").stdout == f"{gateway.__version__}\n"


def test_a_key_and_its_entry_belong_together() -> None:
    said = run("keys", "new", "app-1", "--print").stdout
    key = next(line.strip() for line in said.splitlines() if line.startswith("  tg-"))
    (entry,) = yaml.safe_load(said[said.index("- name") :])
    assert entry == {"name": "app-1", "sha256": sha256(key.encode()).hexdigest()}
    assert run("keys", "new", "app-1", "--print").stdout != said


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "a.yaml").write_text("name: a\n")
    file = tmp_path / "gateway.yaml"
    file.write_text(
        "policies: policies\nserver: {prt: 1}\nupstreams:\n  - {name: up, kind: embedded}\n"
        "routes:\n  - {model: m, upstreams: [up], policy: b}\n"
    )
    return file


@pytest.mark.parametrize("command", [["check"], ["serve", "--config"]])
def test_problems_are_plain_lines_on_standard_error_and_1(broken: Path, command: list[str]) -> None:
    result = run(*command, str(broken))
    allowed = ", ".join(sorted(Server.model_fields))
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines() == [
        f"{broken}:2: server.prt: unknown key; did you mean 'port'? (allowed: {allowed})",
        f"{broken}:6: routes[0].policy: no policy named 'b' (there are: a)",
    ]


def test_an_open_gateway_is_not_served_to_others_by_the_command_line(broken: Path) -> None:
    broken.write_text(broken.read_text().replace("server: {prt: 1}", "").replace("policy: b", "policy: a"))
    result = run("serve", "--config", str(broken), "--host", "0.0.0.0")
    assert result.exit_code == 1
    assert "without keys" in result.stderr


def test_what_only_the_rails_know_is_a_problem_too(broken: Path) -> None:
    broken.write_text(broken.read_text().replace("server: {prt: 1}", "").replace("policy: b", "policy: a"))
    policies = broken.parent / "policies"
    policies.joinpath("a.yaml").write_text(
        "name: a\ninput:\n  - pattern: {builtin: [api_kies]}\n  - guardrails: {spec: g.txt}\n"
    )
    policies.joinpath("g.txt").write_text("validators:\n  - {id: nonsense}\n")
    result = run("check", str(broken))
    assert result.exit_code == 1
    pack, guard = result.stderr.splitlines()
    assert pack.endswith("a.yaml:3: input[0]: no pack named 'api_kies'; did you mean 'api_keys'?")
    assert "g.txt:2" in guard


def test_the_shipped_configuration_is_in_order_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    result = run("check")
    assert (result.exit_code, result.stderr) == (0, "")
    said = result.stdout
    for words in ("127.0.0.1:8080, open to this machine", "smollm2-135m", "policy support-bot", "holds back"):
        assert words in said


@pytest.mark.parametrize(("change", "held"), [("", "a possible match"), ("mode: shadow\n", "nothing")])
def test_check_tells_how_much_of_a_stream_a_rail_holds_back(broken: Path, change: str, held: str) -> None:
    broken.write_text(broken.read_text().replace("server: {prt: 1}", "").replace("policy: b", "policy: a"))
    (broken.parent / "policies" / "a.yaml").write_text(f"name: a\n{change}output:\n  - pattern: {{deny: [a+b]}}\n")
    assert f"pattern pattern   redact; holds back {held}" in run("check", str(broken)).stdout.replace(
        "block;", "redact;"
    )


@pytest.mark.engine
def test_check_can_start_the_engines(broken: Path) -> None:
    broken.write_text(broken.read_text().replace("server: {prt: 1}", "scoring: null").replace("policy: b", "policy: a"))
    (broken.parent / "policies" / "a.yaml").write_text("name: a\ninput:\n  - pii: {}\n")
    result = run("check", str(broken), "--engines")
    assert result.exit_code == 0, result.stderr
    assert "worker pii: ready in" in result.stdout


@pytest.mark.engine
def test_an_engine_that_cannot_start_is_a_problem(broken: Path) -> None:
    broken.write_text(broken.read_text().replace("server: {prt: 1}", "scoring: null").replace("policy: b", "policy: a"))
    policies = broken.parent / "policies"
    policies.joinpath("a.yaml").write_text("name: a\ninput:\n  - guardrails: {spec: g.txt}\n")
    policies.joinpath("g.txt").write_text("validators:\n  - {id: guardrails/no_such_validator}\n")
    result = run("check", str(broken), "--engines")
    assert result.exit_code == 1
    assert "no_such_validator" in result.stdout
