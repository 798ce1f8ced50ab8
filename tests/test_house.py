"""What holds for the whole tree: what the HTTP process imports, how long a module is, which words stand nowhere."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.config.load import load
from gateway.observe.events import CATALOGUE

ROOT = Path(__file__).parents[1]
SOURCES = ("gateway", "kernels", "tests", "bench")
HEAVY = (
    "guardrails",
    "litellm",
    "nemoguardrails",
    "numpy",
    "opentelemetry",
    "presidio_analyzer",
    "tokenizers",
    "torch",
    "transformers",
    "triton",
    "wandb",
    "xllamacpp",
)
MAX_LINES = 400
EVENT = re.compile(r"[a-z]+\.[a-z]+(_[a-z]+)*")
STRAY = {
    "unfinished work": re.compile(r"\b(TO" + r"DO|FIX" + r"ME)\b"),
    "a path of one machine": re.compile(r"(?<![\w.])/(work|root/(?!\.ssh)|home/\w+|opt)/|(?<!\w)\.libr" + r"ary\b"),
    "a registry's host": re.compile(r"\b(pypi|npm" + r"js)\.(org|com)\b"),
}
"""Split where they would find themselves."""


def modules(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from (path for path in sorted((ROOT / folder).rglob("*.py")) if "node_modules" not in path.parts)


def texts() -> Iterator[Path]:
    """Every text file of the tree that people write."""
    for folder in (*SOURCES, "config", "policies", "docs", ".ci"):
        yield from (path for path in (ROOT / folder).rglob("*") if path.is_file() and wanted(path))
    yield from (path for path in ROOT.iterdir() if path.is_file() and wanted(path) and path.name[:9] != ".coverage")


def wanted(path: Path) -> bool:
    made = {"node_modules", "__pycache__"} & set(path.parts)
    return not made and path.suffix in {".py", ".md", ".toml", ".yaml", ".yml", ".txt", ".json", ".mjs", ".sh", ""}


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("module", ["gateway.app", "gateway.front.process", "gateway.serve", "gateway.cli"])
def test_no_engine_is_imported_by(module: str) -> None:
    asked = f"import {module}, sys; print(*sys.modules)"
    started = time.monotonic()
    loaded = subprocess.run([sys.executable, "-c", asked], cwd=ROOT, check=True, capture_output=True, text=True)
    assert module in loaded.stdout.split()
    assert {name for name in loaded.stdout.split() if name in HEAVY} == set()
    assert time.monotonic() - started < 5, "bench/import_time.py says which import is slow"


@pytest.mark.parametrize("path", [*modules(*SOURCES)], ids=named)
def test_no_module_is_longer_than_a_few_screens(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_LINES


@pytest.mark.parametrize("path", [*modules("gateway", "kernels")], ids=named)
def test_a_module_says_what_lives_in_it(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert not tree.body or ast.get_docstring(tree)


def test_nothing_stray_stands_in_the_tree() -> None:
    found = [
        f"{named(path)}:{number}: {what}: {line.strip()}"
        for path in texts()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        for what, word in STRAY.items()
        if word.search(line)
    ]
    assert found == []


def spoken() -> Iterator[str]:
    """Names of events as the code writes them: the first argument of whatever emits or says."""
    for path in modules("gateway"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(
                    func=ast.Attribute(attr="emit" | "_say" | "say"), args=[ast.Constant(value=str(name)), *_]
                ):
                    yield name


def test_every_event_that_is_logged_is_in_the_catalogue() -> None:
    names = {name for name in spoken() if EVENT.fullmatch(name)}
    assert {"exchange.started", "exchange.completed"} <= names
    assert names <= set(CATALOGUE)


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_event_of_the_catalogue_is_logged_somewhere(name: str) -> None:
    others = [path for path in modules("gateway") if path.name != "events.py"]
    assert any(f'"{name}"' in path.read_text() for path in others)


@pytest.mark.parametrize("file", [*(ROOT / "config").glob("*.yaml")], ids=named)
def test_every_shipped_configuration_loads_with_its_policies(file: Path) -> None:
    asked = re.findall(r"\$\{(\w+)", file.read_text())
    config = load(file, dict.fromkeys(asked, "a-value-of-some-length"))
    assert config.gateway.routes
    assert {route.policy for route in config.gateway.routes} <= set(config.policies)


def test_every_shipped_policy_is_read() -> None:
    config = load(ROOT / "config" / "gateway.yaml", {})
    shipped = {path.stem for path in (ROOT / "policies").glob("*.yaml")}
    assert shipped == set(config.policies)
