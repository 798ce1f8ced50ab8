"""Texts that wait in memory for a reason to be kept: a score, a complaint, drift. The oldest go first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from gateway.data.row import Row


@dataclass(frozen=True, slots=True)
class Reasons:
    """Why exchanges are kept: see `gateway.config.data.Data`."""

    guarded: bool = True
    below: Mapping[str, float] = field(default_factory=dict)
    above: Mapping[str, float] = field(default_factory=dict)
    drifted: bool = True
    feedback: bool = True
    random: float = 0.0

    def at_once(self, row: Row) -> set[str]:
        """What speaks for keeping `row` as soon as it ended."""
        found = set[str]()
        if self.guarded and row.record.get("verdict", "allow") != "allow":
            found.add("guarded")
        if _share(row.id) < self.random:
            found.add("random")
        return found

    def scored(self, scores: Mapping[str, float]) -> bool:
        """Whether one of the scores is as bad as that."""
        low = any(scores[name] < bound for name, bound in self.below.items() if name in scores)
        return low or any(scores[name] > bound for name, bound in self.above.items() if name in scores)

    @property
    def later(self) -> bool:
        """Whether a reason may still come."""
        return bool(self.below or self.above or self.drifted or self.feedback)


def _share(ident: str) -> float:
    """A number in [0, 1) that belongs to an id: the same exchange is chosen, or not, whoever asks."""
    return int.from_bytes(blake2b(ident.encode(), digest_size=8).digest()) / 2**64


@dataclass(slots=True)
class Holding:
    """`seconds` and `size` (bytes) bound what waits. `dropped` went because there was no room, before its time."""

    seconds: float
    size: int
    rows: OrderedDict[str, Row] = field(default_factory=OrderedDict)
    used: int = 0
    dropped: int = 0

    def hold(self, row: Row) -> None:
        self.take(row.id)
        self.rows[row.id] = row
        self.used += row.size
        while self.used > self.size and self.rows:
            self.take(next(iter(self.rows)))
            self.dropped += 1

    def take(self, ident: str) -> Row | None:
        row = self.rows.pop(ident, None)
        if row is not None:
            self.used -= row.size
        return row

    def note(self, ident: str, **told: Any) -> None:
        """Remember scores or a topic of what waits."""
        row = self.rows.get(ident)
        if row is not None:
            row.scores.update(told.get("scores", {}))
            row.topic = told.get("topic", "") or row.topic

    def expire(self, now: float) -> None:
        for row in list(self._old(now - self.seconds)):
            self.take(row.id)

    def _old(self, until: float) -> Iterator[Row]:
        for row in self.rows.values():
            if row.at >= until:
                return
            yield row
