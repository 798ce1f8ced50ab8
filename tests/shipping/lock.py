"""Writes constraints.txt from what is installed: `python lock.py constraints.txt`. Run the suite, then commit it."""

from __future__ import annotations

import re
import sys
from importlib.metadata import distributions
from pathlib import Path

OPENING = """\
# Every version, direct or not, in one place. Made by `make lock` from an environment in which the whole suite passed.
# Never: litellm 1.82.7, 1.82.8; guardrails-ai 0.10.1 (malicious uploads).
"""
NOT_PINNED = {"pip", "tidegate", "uv"}
"""pip comes with Python, uv is pinned in the Makefile, and tidegate is what is being built."""


def pins() -> dict[str, str]:
    """Version by normalised name, less the local part (`+cpu`), which differs between indexes."""
    found = {normal(each.name): each.version.partition("+")[0] for each in distributions()}
    return {name: version for name, version in sorted(found.items()) if name not in NOT_PINNED}


def normal(name: str) -> str:
    """A distribution's name as PEP 503 writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def constraints() -> str:
    return OPENING + "".join(f"{name}=={version}\n" for name, version in pins().items())


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(constraints())
