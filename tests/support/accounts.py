"""Requests of one key as a property test plays them: what is asked, when, and what it comes to."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import strategies as st

from gateway.limits import account
from gateway.limits.account import Now, Row
from gateway.limits.rule import Denial, Need, Rule

DAY_S = 86_400

needs = st.builds(Need, st.integers(0, 40), st.integers(0, 40))
rules = st.builds(
    Rule,
    st.none() | st.integers(1, 8),
    st.none() | st.integers(1, 90),
    st.none() | st.integers(1, 4),
    st.none() | st.integers(1, 120),
    st.none() | st.integers(1, 200),
)
pauses = st.sampled_from((0.0, 0.0, 0.3, 1.0, 7.5, 31.0, 59.9, 60.0, 61.0, 300.0, 40_000.0))
steps = st.lists(st.tuples(pauses, st.booleans(), needs), max_size=40)
"""Pauses in seconds; whether something is asked for or the oldest that is under way ends; how much."""


def at(seconds: float) -> Now:
    """A moment of a calendar whose months have thirty days."""
    day = int(seconds // DAY_S)
    return Now(seconds, day, day // 30, DAY_S - seconds % DAY_S)


@dataclass(slots=True)
class Played:
    """One key's requests before an account in memory, and what can be told of them from outside."""

    rule: Rule
    row: Row = field(default_factory=lambda: [0] * account.size(2))
    clock: float = 1_000_000.25
    under_way: list[Need] = field(default_factory=list)
    admitted: list[float] = field(default_factory=list)
    used: list[tuple[float, Need]] = field(default_factory=list)

    def step(self, pause: float, asks: bool, amount: Need) -> Denial | None:
        """Raises AssertionError where an account does not keep to its rule."""
        self.clock += pause
        if asks:
            return self._asked(amount)
        if self.under_way:
            account.settle(self.row, 0, at(self.clock), self.under_way.pop(0), amount)
            self.used.append((self.clock, amount))
        return None

    def _asked(self, need: Need) -> Denial | None:
        denial = account.reserve(self.row, 0, at(self.clock), self.rule, need)
        if denial is None:
            self.under_way.append(need)
            self.admitted.append(self.clock)
        return denial

    def minute(self) -> int:
        """Requests of the last sixty seconds."""
        return sum(self.clock - when < 60 for when in self.admitted)

    def tokens(self, seconds: float = 60) -> int:
        """Settled in the last `seconds`, and what is reserved."""
        settled = sum(used.tokens for when, used in self.used if self.clock - when < seconds)
        return settled + sum(need.tokens for need in self.under_way)

    def money(self, days: int = 1) -> int:
        """Spent on this day, or in this month of thirty, and what is reserved."""
        since = self.clock // (DAY_S * days) * DAY_S * days
        return sum(used.nano for when, used in self.used if when >= since) + sum(need.nano for need in self.under_way)
