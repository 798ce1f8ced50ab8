"""Which trace an exchange belongs to whose client had begun one: scores and feedback speak of the exchange alone.

Kept in a file of bounded size and the one before it, so that feedback finds its trace after a restart too.
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress
from pathlib import Path

from gateway.observe.spool import before

IDS = 32  # digits of a trace id: a line that was torn has fewer
KEPT = 200_000
BOUND = 8 * 1024 * 1024  # bytes of a file; a line has about 70


class Traces:
    """`note` and `of`. A file that cannot be written is no fault: what is known then ends with the process."""

    def __init__(self, path: Path) -> None:
        self._path, self._known = path, OrderedDict[str, str]()
        for file in (before(path), path):
            with suppress(OSError):
                lines = (line.partition(" ") for line in file.read_text().splitlines())
                self._known.update((exchange, trace) for exchange, _, trace in lines if len(trace) == IDS)
        self._trim()

    def of(self, exchange: str) -> str:
        """Its trace; empty where none is known: then it began one of its own."""
        return self._known.get(exchange, "")

    def note(self, exchange: str, trace: str) -> None:
        if exchange in self._known:
            return
        self._known[exchange] = trace
        self._trim()
        with suppress(OSError):
            with self._path.open("a") as file:
                file.write(f"{exchange} {trace}\n")
                full = file.tell() > BOUND
            if full:
                self._path.replace(before(self._path))

    def _trim(self) -> None:
        while len(self._known) > KEPT:
            self._known.popitem(last=False)
