"""The files of a configuration: what there is, whether it changed, and a copy of them as they were at one moment."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

MOST_FILES = 10_000
MOST_BYTES = 64 * 1024 * 1024

_TRIES = 10

Stamp = tuple[tuple[str, int, int, int], ...]
"""Path, time of change, size and number of every file: another stamp means that something changed."""


class TooMuch(Exception):
    """More than anybody's policies have: a folder of something else."""


def below(folder: Path) -> Iterator[Path]:
    """Every file, links followed, but none whose path has a leading dot in it."""
    for at, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__pycache__")))
        yield from (path for name in names if not name.startswith(".") and (path := Path(at, name)).is_file())


def stamp(files: Iterable[Path]) -> Stamp:
    return tuple(sorted(_seen(files)))


def copy(folder: Path, to: Path) -> None:
    """Copy what is below `folder` to the new folder `to`, again while it changes under our hands.

    Raises `TooMuch`, and `OSError` for what cannot be read.
    """
    for _ in range(_TRIES):
        source = folder.resolve()  # what a link points to now, and not something else for every file
        before = stamp(below(source))
        _copy(source, to, before)
        if folder.resolve() == source and stamp(below(source)) == before:
            return
        shutil.rmtree(to)
    _copy(folder, to, stamp(below(folder)))


def _copy(folder: Path, to: Path, found: Stamp) -> None:
    if len(found) > MOST_FILES or sum(size for _, _, size, _ in found) > MOST_BYTES:
        most = f"{MOST_FILES:,} files or {MOST_BYTES:,} bytes"
        raise TooMuch(f"{folder} has more than {most}; give policies a folder of their own")
    to.mkdir(parents=True)
    for name, *_ in found:
        target = to / Path(name).relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # gone again
            shutil.copyfile(name, target)


def _seen(files: Iterable[Path]) -> Iterator[tuple[str, int, int, int]]:
    for count, path in enumerate(files):
        if count > MOST_FILES:
            return
        with suppress(OSError):
            found = path.stat()
            yield str(path), found.st_mtime_ns, found.st_size, found.st_ino
