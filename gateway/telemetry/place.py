"""How far one destination got in the event log, kept in a file; one process at a time follows from there."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import orjson

from gateway.observe.spool import Mark

PROCESSES = 256  # whose last number is kept


@dataclass(slots=True)
class Place:
    """`mark` is None where nothing was sent yet. `seqs` has the last `seq` that was read of each process."""

    file: Path
    mark: Mark | None = None
    seqs: dict[int, int] = field(default_factory=dict)

    @classmethod
    def read(cls, file: Path) -> Place:
        """As it was kept. What cannot be read is no place."""
        try:
            said = orjson.loads(file.read_bytes())
            seqs = {int(process): int(seq) for process, seq in said["seqs"].items()}
            return cls(file, Mark(int(said["inode"]), int(said["offset"])), seqs)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return cls(file)

    def keep(self, mark: Mark) -> None:
        """Raises OSError where it cannot be written."""
        if mark == self.mark:
            return
        while len(self.seqs) > PROCESSES:
            self.seqs.pop(next(iter(self.seqs)))
        told: Mapping[str, object] = {
            "inode": mark.inode,
            "offset": mark.offset,
            "seqs": {str(process): seq for process, seq in self.seqs.items()},
        }
        new = self.file.with_name(f"{self.file.name}.new")
        new.write_bytes(orjson.dumps(told))
        new.replace(self.file)
        self.mark = mark


def locked(file: Path) -> BinaryIO | None:
    """A lock on `file`, held until what is given is closed; None while somebody else has it. Raises OSError."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = os.fdopen(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    return lock
