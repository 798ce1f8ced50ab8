"""Where in a policy file a word stands, for what can only be checked once the file has been read."""

from __future__ import annotations

from pathlib import Path

from gateway.config import document
from gateway.config.policy import PolicySpec
from gateway.errors import Problem


def problem(folder: Path, policy: PolicySpec, word: str, message: str) -> Problem:
    """A problem at the first line of `policy`'s file that has `word` in it."""
    file = next((file for file in sorted(folder.glob("*.yaml")) if _name(file) == policy.name), folder)
    lines = file.read_text("utf-8").splitlines() if file.is_file() else []
    return Problem(str(file), next((n for n, line in enumerate(lines, 1) if word in line), 1), message)


def _name(file: Path) -> object:
    value = document.read(file).value
    return value.get("name") if isinstance(value, dict) else None
