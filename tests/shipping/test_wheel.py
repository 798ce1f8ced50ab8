"""The wheel: installed alone, without the engines' extras, it writes out its starter files and finds them sound."""

from __future__ import annotations

import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of an environment that holds the wheel and what it cannot do without."""
    folder = tmp_path_factory.mktemp("wheel")
    run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], ROOT)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "venv", with_pip=False)
    install = [sys.executable, "-m", "uv", "pip", "install", "-q", "-c", "constraints.txt", "--only-binary", ":all:"]
    install += ["--python", str(folder / "venv" / "bin" / "python"), str(wheel)]
    if subprocess.run([*install, "--offline"], cwd=ROOT, capture_output=True, check=False).returncode:
        run(install, ROOT)  # what `make install` cached is gone
    return folder / "venv" / "bin"


def run(argv: Sequence[str], folder: Path) -> str:
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_holds_no_tests_and_no_generated_files(installed: Path) -> None:
    found = run([str(installed / "python"), "-c", "import gateway, kernels, sys; print(gateway.__file__)"], installed)
    packages = Path(found.strip()).parents[1]
    assert not {"tests", "bench", "config", "policies"} & {path.name for path in packages.iterdir()}
    assert (packages / "gateway" / "starter" / "config" / "gateway.yaml").is_file()


def test_what_init_writes_is_what_the_repository_ships_and_is_sound(installed: Path, tmp_path: Path) -> None:
    run([str(installed / "tidegate"), "init", "mine"], tmp_path)
    for part in ("config", "policies"):
        for path in (path for path in (ROOT / part).rglob("*") if path.is_file()):
            assert (tmp_path / "mine" / path.relative_to(ROOT)).read_bytes() == path.read_bytes()
    said = run([str(installed / "tidegate"), "check", "config/gateway.yaml"], tmp_path / "mine")
    assert "support-bot" in said


def test_heavy_engines_are_extras(installed: Path) -> None:
    listed = run([sys.executable, "-m", "uv", "pip", "list", "--python", str(installed / "python")], installed)
    names = {line.split()[0] for line in listed.splitlines() if line.strip()}
    assert not {"torch", "litellm", "guardrails-ai", "nemoguardrails"} & names
    assert "tidegate" in names
