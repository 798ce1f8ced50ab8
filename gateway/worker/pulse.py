"""Memory that a template shares with its servers: is this one alive, when is its earliest call due, what was begun?

The template reads it without asking the server anything, so a server whose interpreter is stuck is seen too; the next
server reads what the one before it had begun, and so begins nothing twice.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass

BEAT_S = 0.05  # a server's loop writes this often
GRACE_S = 0.1  # past its due instant, a call that stops the loop is given this much more
STUBBORN_S = 1.0  # and one that merely will not be cancelled this much
SILENT_S = 1.5  # an idle loop may not be silent for longer
OPEN_S = 180.0  # an engine may take this long to open

BEGUN = 4096  # so many calls are remembered as begun

_BEAT, _DUE, _READY, _RUNNING, _COUNT = range(5)
_WORDS = 8
_NOTE = 8 * (_WORDS + BEGUN)  # what a server that cannot open has to say: UTF-8, ended by a zero byte
_SIZE = _NOTE + 2048


@dataclass(frozen=True, slots=True)
class Reading:
    """The page at one instant. `due` is 0 where no call is running."""

    beat: float
    due: float
    ready: bool
    running: int

    def ailment(self, now: float) -> str:
        """Why the server must be killed, as one word; empty if it is well."""
        silence = now - self.beat
        if not self.ready:
            return "unopened" if silence > OPEN_S else ""
        if not self.due:
            return "silent" if silence > SILENT_S else ""
        late = now - self.due
        # A loop that beats since the call fell due is busy, not stuck: its timers cancel the call.
        if late > GRACE_S and silence > GRACE_S:
            return "stuck"
        return "stubborn" if late > STUBBORN_S else ""


class Pulse:
    """The shared memory. Aligned eight-byte stores, so a reader never sees half a number."""

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, _SIZE)
        self._words = memoryview(self._page)[: 8 * _WORDS].cast("d")
        self._begun = memoryview(self._page)[8 * _WORDS : _NOTE].cast("q")
        self._running: set[int] = set()  # the server's own, not shared

    def read(self) -> Reading:
        words = self._words
        return Reading(words[_BEAT], words[_DUE], bool(words[_READY]), int(words[_RUNNING]))

    def renew(self, now: float) -> None:
        """For a new server; what its predecessors began stays known."""
        self.load(now, 0.0, 0)
        self._words[_READY] = 0.0
        self.note = ""

    def beat(self, now: float) -> None:
        self._words[_BEAT] = now

    def opened(self, now: float) -> None:
        self._words[_BEAT] = now
        self._words[_READY] = 1.0

    def load(self, now: float, due: float, running: int) -> None:
        """A call began or ended, which is a sign of life as well."""
        self._words[_BEAT] = now
        self._words[_DUE] = due
        self._words[_RUNNING] = running

    def begin(self, id_: int) -> None:
        """The engine is about to begin this call. It is remembered until it ended and many others were begun."""
        count = int(self._words[_COUNT])
        while self._begun[count % BEGUN] in self._running:
            count += 1
        self._begun[count % BEGUN] = id_
        self._words[_COUNT] = count + 1
        self._running.add(id_)

    def end(self, id_: int) -> None:
        self._running.discard(id_)

    def has_begun(self, id_: int) -> bool:
        return id_ in self._begun

    @property
    def note(self) -> str:
        return self._page[_NOTE:].split(b"\0", 1)[0].decode("utf-8", "replace")

    @note.setter
    def note(self, text: str) -> None:
        raw = text.encode("utf-8", "replace")[: _SIZE - _NOTE - 1]
        self._page[_NOTE : _NOTE + len(raw) + 1] = raw + b"\0"
