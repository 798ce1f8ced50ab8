"""Where lines go: a file that is appended to, or standard output. Failing to write is counted, never raised.

A file that was moved or removed under us is made anew within a second. A pipe whose reader sleeps costs a quarter of a
second once; from then on lines are lost (and counted) until the reader is back.
"""

from __future__ import annotations

import errno
import os
import select
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PATIENCE_MS = 250  # security.md's budget for an audit record; beyond it the caller decides
_LOOK_S = 1.0


class Sink:
    """Whole lines to one file descriptor. `dropped` counts those that did not get there."""

    def __init__(self, fd: int, path: Path | None = None) -> None:
        self.dropped = 0
        self._fd, self._path = fd, path
        self._waits = not stat.S_ISREG(os.fstat(fd).st_mode)
        self._patience = _PATIENCE_MS
        self._lost = 0  # in a row; the next line then starts on a line of its own
        self._looked = time.monotonic()

    def write(self, line: bytes) -> bool:
        """Append `line` (it ends in a newline) with one call to the system; False if it could not be."""
        try:
            self._follow()
            self._put(b"\n" + line if self._lost else line)
        except OSError as refused:
            return self.drop(errno.errorcode.get(refused.errno or 0, "EIO"))
        if self._lost:
            self._recovered()
        return True

    def drop(self, why: str) -> bool:
        """Count one line as lost, and say so once on standard error; always False."""
        if not self._lost:
            _note(f"events are being lost ({why}, {self._path or 'standard output'})")
        self.dropped += 1
        self._lost += 1
        return False

    def close(self) -> None:
        os.close(self._fd)

    def _put(self, data: bytes) -> None:
        if not self._waits:
            while data:  # a full disk may take a part
                data = data[os.write(self._fd, data) :]
        for at in range(0, len(data), select.PIPE_BUF):  # what a ready pipe takes without blocking
            self._wait()
            os.write(self._fd, data[at : at + select.PIPE_BUF])

    def _wait(self) -> None:
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        if not poll.poll(self._patience):
            self._patience = 0
            raise BlockingIOError(errno.EAGAIN, "the reader sleeps")
        self._patience = _PATIENCE_MS

    def _follow(self) -> None:
        """Go on in a new file where ours was moved or removed."""
        now = time.monotonic()
        if self._path is None or now - self._looked < _LOOK_S:
            return
        self._looked = now
        with suppress(FileNotFoundError):
            if os.path.samestat(self._path.stat(), os.fstat(self._fd)):
                return
        fd = _append(self._path)
        os.close(self._fd)
        self._fd = fd

    def _recovered(self) -> None:
        _note(f"events are written again; {self._lost} were lost")
        self._lost = 0


@contextmanager
def opened(path: str) -> Iterator[Sink]:
    """A sink for `path`, or for standard output where it is `-`. Raises OSError if it cannot be opened at all."""
    file = None if path == "-" else Path(path)
    sink = Sink(os.dup(1) if file is None else _append(file), file)
    try:
        yield sink
    finally:
        sink.close()


def _append(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _note(text: str) -> None:
    with suppress(OSError):
        os.write(2, f"tidegate: {text}\n".encode("utf-8", "replace"))
