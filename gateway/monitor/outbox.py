"""Events that were found and wait to be logged and posted. Each has a number; none is let go before it was taken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

KEPT = 256  # that nobody took; then the oldest go

Entry = tuple[int, str, Mapping[str, Any]]


@dataclass(slots=True)
class Outbox:
    """`logged` and `posted` are the numbers up to which that is done."""

    entries: list[Entry] = field(default_factory=list)
    number: int = 0
    logged: int = 0
    posted: int = 0

    def put(self, event: str, fields: Mapping[str, Any]) -> None:
        self.number += 1
        self.entries = [*self.entries, (self.number, event, fields)][-KEPT:]

    def done(self, *, logged: int, posted: int) -> bool:
        """What was taken up to these numbers need not be kept; whether that is news.

        Numbers beyond ours are of a memory that was lost, and say nothing.
        """
        before = self.logged, self.posted
        self.logged = max(self.logged, logged if logged <= self.number else 0)
        self.posted = max(self.posted, posted if posted <= self.number else 0)
        least = min(self.logged, self.posted)
        self.entries = [entry for entry in self.entries if entry[0] > least]
        return before != (self.logged, self.posted)
