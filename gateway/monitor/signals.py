"""The four signals that it is time to do something: when each is raised, raised higher, and cleared.

Nothing flutters: a condition must hold at `confirm` looks in a row to raise a signal and be gone at `clear` looks in a
row to clear it, and one that was raised is not raised again within `cooldown_s`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

Name = Literal["accuracy", "topics", "complaints", "drift"]
NAMES: tuple[Name, ...] = get_args(Name)

Level = Literal["none", "watch", "act"]
LEVELS: tuple[Level, ...] = get_args(Level)


@dataclass(frozen=True, slots=True)
class Terms:
    """How one signal behaves, what it suggests, and the command to run."""

    confirm: int = 1
    clear: int = 2
    cooldown_s: float = 3600.0
    action: str = ""
    run: str = ""


@dataclass(slots=True)
class Signal:
    """`level` as it stands; `times` raised so far. `look` is fed what the evidence says now."""

    name: Name
    level: Level = "none"
    since: float = 0.0
    times: int = 0
    holding: int = 0  # looks in a row above `level`
    gone: int = 0  # looks in a row at none
    raised_at: float | None = None

    def look(
        self, seen: Level, terms: Terms, now: float, *, recovered: bool = True
    ) -> Literal["", "raised", "cleared"]:
        """`recovered` tells whether what is not seen any more may count as gone."""
        higher = LEVELS.index(seen) > LEVELS.index(self.level)
        self.holding = self.holding + 1 if higher else 0
        self.gone = self.gone + 1 if seen == "none" and recovered else 0
        if higher and self.holding >= terms.confirm and (self.level != "none" or self._cool(terms, now)):
            self.level, self.since, self.raised_at = seen, now, now
            self.times, self.holding = self.times + 1, 0
            return "raised"
        if self.level != "none" and self.gone >= terms.clear:
            self.level, self.since, self.gone = "none", now, 0
            return "cleared"
        return ""

    def _cool(self, terms: Terms, now: float) -> bool:
        return self.raised_at is None or now - self.raised_at >= terms.cooldown_s


def raised(signal: Signal, terms: Terms, evidence: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of `signal.raised`."""
    return {
        "signal": signal.name,
        "level": signal.level,
        "number": signal.times,
        "action": terms.action,
        "run": terms.run,
        "evidence": dict(evidence),
    }
