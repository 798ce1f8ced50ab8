"""That a text is not in a file: every piece of it is looked for in the bytes of the file and of those beside it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import orjson

PIECE = 24
"""Bytes of a piece. SQLite cuts long values into pages of 4 KiB: pieces are short, so that most lie in one."""


def remains(path: Path, texts: Iterable[str], kept: Iterable[str] = ()) -> int:
    """How many pieces of `texts` are in the store's files, but for those that stand in the texts `kept`, too."""
    files = b"\0".join(file.read_bytes() for file in beside(path) if file.exists())
    if not files:
        return 0
    left = b"\0".join(map(_written, kept))
    pieces = {piece for text in texts for piece in _pieces(_written(text))}
    return sum(piece in files and piece not in left for piece in pieces)


def beside(path: Path) -> list[Path]:
    """The store's files."""
    return [path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")]


def _written(text: str) -> bytes:
    """As the store has it: JSON, without the quotes."""
    return orjson.dumps(text)[1:-1]


def _pieces(raw: bytes) -> list[bytes]:
    whole = [raw[n : n + PIECE] for n in range(0, len(raw) - PIECE + 1, PIECE)]
    return whole or ([raw] if len(raw) >= 8 else [])  # a shorter word may stand anywhere
