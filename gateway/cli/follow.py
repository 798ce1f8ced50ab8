"""Reads the lines of a file as they are appended to it; survives its rotation, truncation and absence."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Self

_AT_ONCE = 8 * 1024 * 1024  # bytes a call reads
_LONGEST = 16 * 1024 * 1024  # of a line without an end; what has grown beyond it is no event


class Follower:
    """Call `lines` again and again: each call returns whole lines that have come since the last, 8 MiB of them at most.

    Is to be closed, or used in a `with`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._rest = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def there(self) -> bool:
        return self._file is not None

    def lines(self) -> list[bytes]:
        """What a moved file still holds comes first, then what its successor does. Half a line is kept for later."""
        found = self._read()
        if not found and self._moved():
            found = self._last()
            self._open()
            found += self._read()
        return found

    def close(self) -> None:
        if self._file:
            self._file.close()
        self._file = None

    def _read(self) -> list[bytes]:
        if not self._file:
            return []
        *whole, self._rest = (self._rest + self._file.read(_AT_ONCE)).split(b"\n")
        self._rest = self._rest if len(self._rest) < _LONGEST else b""
        return whole

    def _last(self) -> list[bytes]:
        """A line that its file will never end."""
        rest, self._rest = self._rest, b""
        return [rest] if rest else []

    def _moved(self) -> bool:
        """Whether another file stands at the path, or ours was cut short."""
        try:
            there = self._path.stat()
        except OSError:
            return False
        if not self._file:
            return True
        ours = os.fstat(self._file.fileno())
        return not os.path.samestat(there, ours) or ours.st_size < self._file.tell()

    def _open(self) -> None:
        self.close()
        with suppress(FileNotFoundError):
            self._file = self._path.open("rb")
