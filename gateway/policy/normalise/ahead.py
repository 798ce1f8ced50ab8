"""What can be told of the next characters before they are there or followed; remembered for all texts of a rail."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.policy.automaton.dfa import Config, Dfa
from gateway.policy.normalise.fold import Fold

LEADS = 0xC2  # from this byte on a byte begins a character of several
REMEMBERED = 10_000  # answers of each kind


@dataclass(slots=True, repr=False)
class Ahead:
    """`dfa` follows folded texts."""

    dfa: Dfa
    fold: Fold
    births: dict[tuple[Config, int, int], bool] = field(default_factory=dict)
    twins: dict[tuple[Config, str], int] = field(default_factory=dict)

    def possible(self, config: Config, low: int, high: int) -> bool:
        """Whether a match can begin with a byte from `low` to `high`."""
        if high >= LEADS:
            return True
        key = config, low, high
        found = self.births.get(key)
        if found is None:
            if len(self.births) >= REMEMBERED:
                self.births.clear()
            found = self.births[key] = any(self._born(config, chr(byte)) for byte in range(low, min(high, 0x7F) + 1))
        return found

    def _born(self, config: Config, char: str) -> bool:
        move = self.dfa.move(config, char)
        return move.born or bool(move.done)

    def alike(self, config: Config, chars: str) -> int:
        """How many of `chars` (one or two) lead to the same as what they fold to, with no match begun or ended; else 0.

        `config` must be of the same automaton.
        """
        key = config, chars
        found = self.twins.get(key)
        if found is None:
            if len(self.twins) >= REMEMBERED:
                self.twins.clear()
            sizes = (size for size in range(1, len(chars) + 1) if self._same(config, chars[:size]))
            found = self.twins[key] = next(sizes, 0)
        return found

    def _same(self, config: Config, chars: str) -> bool:
        if config.states:
            return False
        raw, folded = self._idle(config, chars), self._idle(config, chars.translate(self.fold))
        return raw is not None and raw is folded

    def _idle(self, config: Config, chars: str) -> Config | None:
        """Where `chars` lead, if nothing goes on there and nothing matched on the way."""
        for char in chars:
            move = self.dfa.move(config, char)
            if move.ended or move.done:
                return None
            config = move.target
        return None if config.states else config
