"""Reads the lines of a file as they are appended to it; survives its rotation, truncation and absence."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from gateway.observe.spool import Mark, Trail

_AT_ONCE = 8 * 1024 * 1024  # bytes a call reads
_LONGEST = 16 * 1024 * 1024  # of a line without an end; what has grown beyond it is no event


class Follower:
    """Call `lines` again and again: each call returns whole lines that have come since the last, 8 MiB of them at most.

    Is to be closed, or used in a `with`.
    """

    def __init__(self, path: Path) -> None:
        self._trail = Trail(path)
        self._rest = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def there(self) -> bool:
        return self._trail.mark() != Mark()

    def lines(self) -> list[bytes]:
        """What a moved file still holds comes first, then what its successor does. Half a line is kept for later."""
        new = self._trail.read(_AT_ONCE)
        last = [self._rest] if self._trail.fresh and self._rest else []  # a line that its file will never end
        *whole, rest = ((b"" if self._trail.fresh else self._rest) + new).split(b"\n")
        self._rest = rest if len(rest) < _LONGEST else b""
        return last + whole

    def close(self) -> None:
        self._trail.close()
