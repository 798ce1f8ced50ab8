"""A bounded file of records that one process appends to and another follows: vectors, from the scorer to the monitor.

A record is `TGV1`, two lengths, a head of JSON and a body of bytes. At `bound` bytes the file is renamed to `….1`, over
the one before: whoever is further behind than two files loses the oldest. Only this user may read either.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self

import orjson

BOUND = 16 * 1024 * 1024
AT_ONCE = 4 * 1024 * 1024  # bytes that one reading takes

_MAGIC = b"TGV1"
_LENGTHS = struct.Struct("<II")  # of head and body
_FRONT = len(_MAGIC) + _LENGTHS.size
_LARGEST = 1 << 20  # of a record; what claims to be longer is not one


@dataclass(frozen=True, slots=True)
class Record:
    head: Mapping[str, Any]
    body: bytes


class Spool:
    """The writing end. Never raises: a record that cannot be written is counted in `dropped`."""

    def __init__(self, path: Path, bound: int = BOUND) -> None:
        self.path, self.bound, self.dropped = path, bound, 0

    def put(self, records: Iterable[Record]) -> None:
        """Append `records` in one write."""
        whole = [encoded(record) for record in records]
        if not whole:
            return
        try:
            self._append(b"".join(whole))
        except OSError:
            self.dropped += len(whole)

    def _append(self, data: bytes) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, data)
            full = os.fstat(fd).st_size >= self.bound
        finally:
            os.close(fd)
        if full:
            self.path.replace(before(self.path))


def encoded(record: Record) -> bytes:
    head = orjson.dumps(record.head)
    return b"".join((_MAGIC, _LENGTHS.pack(len(head), len(record.body)), head, record.body))


def before(path: Path) -> Path:
    """Where the file before the one at `path` lies."""
    return path.with_name(f"{path.name}.1")


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a file was read. `inode` 0 stands for none."""

    inode: int = 0
    offset: int = 0


class Trail:
    """Reads what is appended to a file, from a `Mark` on, across its renaming to `….1` or to any other name.

    `read` gives bytes that are new, b"" for none; `mark` is behind the last byte that was given out, less `back`.
    """

    def __init__(self, path: Path, mark: Mark | None = None) -> None:
        self._path, self._file = path, None if mark is None else _resumed(path, mark)
        self.fresh = False  # the last bytes are the first of another file

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._file:
            self._file.close()
        self._file = None

    def mark(self, back: int = 0) -> Mark:
        if not self._file:
            return Mark()
        return Mark(os.fstat(self._file.fileno()).st_ino, max(0, self._file.tell() - back))

    @property
    def ended(self) -> bool:
        """Whether the file that is read was replaced by another, or cut short."""
        try:
            there = self._path.stat()
        except OSError:
            return False
        if not self._file:
            return True
        ours = os.fstat(self._file.fileno())
        return not os.path.samestat(there, ours) or ours.st_size < self._file.tell()

    @property
    def left(self) -> int:
        """Bytes that were not read yet, of the file that is read and of the one in its place."""
        try:
            there = self._path.stat()
        except OSError:
            return 0
        if not self._file:
            return there.st_size
        ours = os.fstat(self._file.fileno())
        more = 0 if os.path.samestat(there, ours) else there.st_size
        return max(0, ours.st_size - self._file.tell()) + more

    def read(self, size: int = AT_ONCE) -> bytes:
        found, self.fresh = self._file.read(size) if self._file else b"", False
        if not found and self.ended:
            self.close()
            self.fresh = True
            with suppress(FileNotFoundError):
                self._file = self._path.open("rb")
            found = self._file.read(size) if self._file else b""
        return found


def _resumed(path: Path, mark: Mark) -> BinaryIO | None:
    """The file that `mark` is of, if it is still there, at its place."""
    for candidate in (path, before(path)):
        with suppress(OSError):
            file = candidate.open("rb")
            if os.fstat(file.fileno()).st_ino == mark.inode and os.fstat(file.fileno()).st_size >= mark.offset:
                file.seek(mark.offset)
                return file
            file.close()
    return None


class Lines:
    """Whole lines of a file that is appended to. `mark` is behind the last of them."""

    def __init__(self, path: Path, mark: Mark | None = None) -> None:
        self._trail, self._rest = Trail(path, mark), b""

    def read(self, size: int = AT_ONCE) -> list[bytes]:
        new = self._trail.read(size)
        rest = b"" if self._trail.fresh else self._rest
        *whole, self._rest = (rest + new).split(b"\n")
        return whole

    @property
    def mark(self) -> Mark:
        return self._trail.mark(len(self._rest))

    @property
    def left(self) -> int:
        """Bytes that were not read yet."""
        return self._trail.left

    def close(self) -> None:
        self._trail.close()


class Records:
    """Whole records of a spool. What is torn is passed over."""

    def __init__(self, path: Path, mark: Mark | None = None) -> None:
        self._trail, self._rest = Trail(path, mark), b""

    def read(self) -> list[Record]:
        new = self._trail.read()
        rest = b"" if self._trail.fresh else self._rest
        found, self._rest = decoded(rest + new)
        return found

    @property
    def mark(self) -> Mark:
        return self._trail.mark(len(self._rest))

    def close(self) -> None:
        self._trail.close()


def decoded(data: bytes) -> tuple[list[Record], bytes]:
    """The records in `data`, and what stands after the last whole one."""
    found: list[Record] = []
    done, at = 0, data.find(_MAGIC)
    while 0 <= at <= len(data) - _FRONT:
        head, body = _LENGTHS.unpack_from(data, at + len(_MAGIC))
        start, end = at + _FRONT, at + _FRONT + head + body
        if head + body <= _LARGEST and end > len(data):
            return found, data[at:]
        record = _record(data[start:end], head) if head + body <= _LARGEST else None
        if record:
            found.append(record)
        done = end if record else at + 1
        at = data.find(_MAGIC, done)
    return found, data[at:] if at >= 0 else data[max(done, len(data) - len(_MAGIC) + 1) :]


def _record(data: bytes, head: int) -> Record | None:
    try:
        said = orjson.loads(data[:head])
    except orjson.JSONDecodeError:
        return None
    return Record(said, data[head:]) if isinstance(said, dict) else None
