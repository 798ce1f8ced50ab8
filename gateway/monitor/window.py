"""A sliding window of rows, sampled to a bound: how much traffic there is does not change what it costs.

It is made of panes. A pane takes the rows of a while, a bounded sample of them all; when one closes, the last few are
tested.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from gateway.monitor.rows import Row


@dataclass(slots=True)
class Reservoir:
    """A uniform sample, `bound` at most, of everything that was added (Vitter's algorithm R)."""

    bound: int
    rows: list[Row] = field(default_factory=list)
    seen: int = 0

    def add(self, row: Row, random: Random) -> None:
        self.seen += 1
        if len(self.rows) < self.bound:
            self.rows.append(row)
        elif (at := random.randrange(self.seen)) < self.bound:
            self.rows[at] = row


@dataclass(slots=True)
class Window:
    """The last `panes` panes of `pane` rows. A pane lasts `least_s` seconds at least, `since` its first row."""

    pane: int = 250
    panes: int = 4
    least_s: float = 60.0
    closed: list[tuple[Row, ...]] = field(default_factory=list)
    current: Reservoir = field(init=False)
    since: float = 0.0

    def __post_init__(self) -> None:
        self.current = Reservoir(self.pane)

    def add(self, row: Row, at: float, random: Random) -> bool:
        """Take in a row that came at the instant `at`; whether a pane closed and the window is full."""
        if not self.current.seen:
            self.since = at
        self.current.add(row, random)
        if self.current.seen < self.pane or at - self.since < self.least_s:
            return False
        self.closed = [*self.closed, tuple(self.current.rows)][-self.panes :]
        self.current = Reservoir(self.pane)
        return len(self.closed) == self.panes

    @property
    def rows(self) -> list[Row]:
        """Of the panes that are closed."""
        return [row for pane in self.closed for row in pane]

    def empty(self) -> None:
        self.closed, self.current = [], Reservoir(self.pane)
