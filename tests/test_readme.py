"""The README is true: its commands exist, its examples run against what `make run` starts, its files load."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from support.serving import Serving, serving

from gateway.config.load import load
from gateway.policy.rails import RAILS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
DOCUMENTED = "http://127.0.0.1:8080"


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced example."""

    language: str
    text: str

    @property
    def commands(self) -> list[str]:
        """Shell commands, whole ones, without comments."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [line for line in (re.sub(r"\s+#.*", "", each).strip() for each in lines) if line]


def blocks(language: str) -> list[Block]:
    found = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return [Block(name, text) for name, text in found if name == language]


def commands(word: str) -> list[str]:
    return [line for block in blocks("sh") for line in block.commands if line.startswith(f"{word} ")]


def copied(folder: Path) -> Path:
    """The shipped configuration in a folder of its own."""
    for part in ("config", "policies"):
        shutil.copytree(ROOT / part, folder / part)
    return folder / "config" / "gateway.yaml"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """What `make run` serves."""
    folder = tmp_path_factory.mktemp("readme")
    with serving(copied(folder), folder / "var" / "events.jsonl") as ready:
        yield ready


def test_every_example_is_of_a_kind_that_is_checked_here() -> None:
    fences = re.findall(r"^```(\w+)$", README, re.MULTILINE)
    assert set(fences) == {"sh", "python", "yaml", "mermaid"}
    words = {line.split()[0] for block in blocks("sh") for line in block.commands}
    assert words <= {"make", "curl", "tidegate", "docker"}


def test_every_make_command_it_names_is_there() -> None:
    named = set(re.findall(r"\bmake ([a-z-]+)`", README)) | {shlex.split(each)[1] for each in commands("make")}
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"run", "test", "demo"} <= named <= targets


@pytest.mark.parametrize("page", ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "docs/README.md"])
def test_every_file_a_page_links_to_is_there(page: str) -> None:
    path = ROOT / page
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", path.read_text()) if "://" not in link]
    assert links or page == "CHANGELOG.md"
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text()
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert [page for page in pages if f"({page})" not in index] == []


def test_it_names_every_kind_of_rail() -> None:
    assert [kind for kind in RAILS if f"`{kind}`" not in README] == []


def test_it_names_every_endpoint_that_speaks_of_models() -> None:
    served = re.findall(r'Route\("(/v1/[a-z/_]+)"', (ROOT / "gateway" / "app.py").read_text())
    assert served
    assert [path for path in served if f"`{path}`" not in README] == []


def test_its_gateway_file_loads_with_its_policy(tmp_path: Path) -> None:
    gateway_block, policy_block = blocks("yaml")
    file = copied(tmp_path)
    shipped = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump({**shipped, **yaml.safe_load(gateway_block.text)}))
    (tmp_path / "policies" / "support-bot.yaml").write_text(policy_block.text)
    config = load(file, {"ANTHROPIC_API_KEY": "a-key"})
    assert [upstream.name for upstream in config.gateway.upstreams] == ["vllm", "claude"]
    assert [rail.kind for rail in config.policies["support-bot"].input] == ["pattern", "pii", "nemo", "guardrails"]


def test_its_policy_says_what_each_key_means_where_it_stands() -> None:
    assert blocks("yaml")[0].text.startswith("# config/gateway.yaml\n")
    assert blocks("yaml")[1].text.startswith("# policies/support-bot.yaml\n")


@pytest.mark.system
def test_its_curl_is_answered(gateway: Serving) -> None:
    (curl,) = commands("curl")
    assert DOCUMENTED in curl
    answer = subprocess.run(
        ["sh", "-c", curl.replace(DOCUMENTED, gateway.url)], capture_output=True, text=True, timeout=120, check=True
    )
    assert "Paris" in answer.stdout


@pytest.mark.system
def test_its_python_runs_and_the_model_is_not_shown_the_address(gateway: Serving) -> None:
    (block,) = blocks("python")
    assert DOCUMENTED in block.text
    done = subprocess.run(
        [sys.executable, "-c", block.text.replace(DOCUMENTED, gateway.url)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout.strip()
    (redaction,) = [
        each
        for event in gateway.written()
        for each in event["judgements"]
        if (each["stage"], each["rail"], each["action"]) == ("input", "pii", "redact")
    ]
    assert redaction["rules"] == ["EMAIL_ADDRESS"]
    assert "ann@example.com" not in gateway.events.read_text()


@pytest.mark.system
@pytest.mark.parametrize("command", commands("tidegate"))
def test_its_tidegate_commands_run(gateway: Serving, command: str) -> None:
    argv = [sys.executable, "-m", "gateway", *shlex.split(command)[1:]]
    argv += ["--no-follow"] if "tail" in argv else []
    done = subprocess.run(
        argv, cwd=gateway.events.parents[1], env={"PYTHONPATH": str(ROOT)}, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
