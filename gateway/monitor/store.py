"""Samples and state on disk: written whole under another name and then renamed, so that readers find either.

A reference is a folder's `reference.npz`; what a monitor knows is its `state.npz`. Arrays and JSON only, never pickles.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import orjson
from numpy.typing import NDArray

from gateway.monitor.rows import Row

Arrays = dict[str, NDArray[Any]]


def save(path: Path, told: Any, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Raises OSError where it cannot be written."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    whole = io.BytesIO()
    np.savez(whole, told=np.frombuffer(orjson.dumps(told), dtype=np.uint8), **arrays)  # type: ignore[arg-type]  # numpy's stub takes **kwds for allow_pickle
    new = path.with_name(f"{path.name}.new")
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(whole.getbuffer())
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def load(path: Path) -> tuple[Any, Arrays] | None:
    """What was saved; None where there is nothing, or nothing that can be read (which is put aside as `….broken`)."""
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as found:
            arrays = {name: found[name] for name in found.files}
        return orjson.loads(arrays.pop("told").tobytes()), arrays
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        path.replace(path.with_name(f"{path.name}.broken"))
        return None


def digest(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()[:12]


# Rows…


def packed(rows: Sequence[Row]) -> tuple[list[Any], NDArray[np.float16]]:
    """Rows as JSON and one array of vectors; a row's number in it, or -1."""
    vectors = [row.vector for row in rows if row.vector is not None]
    width = len(vectors[0]) if vectors else 0
    kept = [vector for vector in vectors if len(vector) == width]
    places = iter(range(len(kept)))
    told = [
        [
            row.id,
            dict(row.numbers),
            dict(row.classes),
            list(row.words),
            next(places) if row.vector is not None and len(row.vector) == width else -1,
        ]
        for row in rows
    ]
    return told, np.array(kept, dtype=np.float16).reshape(len(kept), width)


def unpacked(told: Sequence[Any], vectors: NDArray[np.float16]) -> list[Row]:
    return [
        Row(id_, numbers, classes, tuple(words), vectors[at] if at >= 0 else None)
        for id_, numbers, classes, words, at in told
    ]
