"""Whether a path that somebody wrote is there. One that no file can have (too long, a NUL in it) is not."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def exists(path: Path) -> bool:
    with suppress(OSError, ValueError):
        return path.exists()
    return False


def is_file(path: Path) -> bool:
    with suppress(OSError, ValueError):
        return path.is_file()
    return False


def is_folder(path: Path) -> bool:
    with suppress(OSError, ValueError):
        return path.is_dir()
    return False
