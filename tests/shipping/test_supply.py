"""What is installed: nothing known to be malicious, nothing below a security floor, nothing that runs unasked."""

from __future__ import annotations

import hashlib
import re
import sys
import sysconfig
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.version import Version
from shipping.lock import normal, pins

ROOT = Path(__file__).parents[2]

DENIED = {
    "litellm": {"1.82.7", "1.82.8"},  # MAL-2026-2144: steals credentials
    "guardrails-ai": {"0.10.1"},  # fetches and runs a remote file on import
    "mistralai": {"2.4.6"},  # the same attackers, the same means
    "lightning": {"2.6.2", "2.6.3"},
    "durabletask": {"1.4.1", "1.4.2", "1.4.3"},
}

FLOORS = {
    "litellm": "1.84.0",  # CVE-2026-49468: who may do what was decided from the Host header
    "guardrails-ai": "0.10.2",  # CVE-2024-6961, and the first clean release
    "starlette": "1.3.1",  # CVE-2026-48710, -54283
    "uvicorn": "0.51",  # restarts that drop no connection
    "h11": "0.16.0",  # CVE-2025-43859: request smuggling
    "httptools": "0.8.0",
    "python-multipart": "0.0.30",  # CVE-2026-53539; better absent
    "torch": "2.6.0",  # CVE-2025-32434: loading weights ran code
}

STARTUP = {
    # sha256 of each .pth file that may run code when Python starts; a new release means a new look.
    "a1_coverage.pth": "ef2ed06d19867ec669c09a804060666a9cd5e383af0a9d11aa2de79b77d448e8",
    "distutils-precedence.pth": "2638ce9e2500e572a5e0de7faed6661eb569d1b696fcba07b0dd223da5f5d224",
}

INSTALLED = {normal(each.name): Version(each.version) for each in distributions()}


def pth_files() -> list[Path]:
    return sorted(Path(sysconfig.get_path("purelib")).glob("*.pth"))


def runs_code(path: Path) -> bool:
    """Whether Python executes a line of it: `site` runs lines that begin with `import`, and takes others as paths."""
    return any(re.match(r"import[ \t]", line) for line in path.read_text().splitlines())


@pytest.mark.parametrize("name", DENIED)
def test_no_release_known_to_be_malicious_is_installed_or_pinned(name: str) -> None:
    assert str(INSTALLED.get(name)) not in DENIED[name]
    assert not any(f"{name}=={version}\n" in constraints() for version in DENIED[name])


@pytest.mark.parametrize("name", FLOORS)
def test_nothing_is_older_than_its_security_floor(name: str) -> None:
    assert name not in INSTALLED or INSTALLED[name] >= Version(FLOORS[name])


def test_nothing_runs_at_start_up_that_was_not_looked_at() -> None:
    running = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in pth_files() if runs_code(path)}
    assert running == {name: digest for name, digest in STARTUP.items() if name in running}


def test_a_startup_file_that_runs_code_is_told_from_one_that_names_a_path(tmp_path: Path) -> None:
    for text, expected in [("/some/path\n", False), ("# import x\nimport os; os.system('true')\n", True)]:
        (tmp_path / "x.pth").write_text(text)
        assert runs_code(tmp_path / "x.pth") is expected


def test_every_installed_package_is_the_one_that_is_pinned() -> None:
    pinned = set(re.findall(r"^(?!#)(\S+==\S+)$", constraints(), re.MULTILINE))
    assert {f"{name}=={version}" for name, version in pins().items()} <= pinned


def test_no_server_of_litellms_was_imported() -> None:
    assert not any(name.startswith("litellm.proxy") for name in sys.modules)


def constraints() -> str:
    return (ROOT / "constraints.txt").read_text()
