"""Follows one text: what of it must be held because a match may be going on, and what has matched.

Offsets are the caller's: a view of a text (decoded, normalised) is followed by the offsets of the text it is made of.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import NamedTuple

from gateway.policy.automaton.dfa import YOUNG, Config, Dfa, Hits, Move


class Match(NamedTuple):
    """`text[start:end]` matched `rule`."""

    start: int
    end: int
    rule: int


@dataclass(slots=True)
class Scanner:
    """`at` is where the text ends so far. A text is followed by `feed`, a view of one by `step`.

    `found` are the matches of each rule that were not taken yet, in order; the last ones may still give way to one that
    begins further left.
    """

    dfa: Dfa
    at: int = 0
    starts: tuple[int, ...] = ()  # of the old threads of `config`
    recent: tuple[int, ...] | None = None  # where the last characters began; None: one after the other, up to `at`
    found: dict[int, list[Match]] = field(default_factory=dict)
    config: Config = field(init=False)

    def __post_init__(self) -> None:
        self.config = self.dfa.begin()

    def feed(self, delta: str) -> None:
        """The text goes on with `delta`."""
        config = self.config
        for at, char in enumerate(delta, self.at):
            target = config.plain.get(char)
            if target is None:
                move = config.moves.get(char) or self.dfa.move(config, char)
                target = move.target
                if not move.plain:
                    self._moved(move, (*self.starts, *[at - age for age in config.ages], at), (at, at + 1))
            config = target
        self.config = config
        self.at += len(delta)

    def step(self, char: str, start: int, end: int) -> None:
        """The view goes on with `char`, made of `text[start:end]`."""
        target = self.config.plain.get(char)
        if target is None:
            move = self.config.moves.get(char) or self.dfa.move(self.config, char)
            target = move.target
            if not move.plain:
                self._moved(move, (*self._threads(), start), (self.at, end))
        self.config = target
        self.recent = (*self._recent(), start)[-YOUNG:]
        self.at = end

    def twin(self) -> Scanner:
        """Another one that stands where this one does; it goes on by `step`."""
        other = Scanner(self.dfa, self.at, self.starts, self._recent())
        other.config = self.config
        return other

    @property
    def matches(self) -> list[Match]:
        return [match for matches in self.found.values() for match in matches]

    def adopt(self, matches: Iterable[Match]) -> None:
        """Take over what a twin has found."""
        for match in matches:
            own = self.found.setdefault(match.rule, [])
            insort(own, match)
            at = bisect_left(own, match)
            if own[at : at + 2] == [match, match]:
                del own[at]

    def finish(self) -> None:
        """The text ends; the next one begins."""
        self._note(self.dfa.last(self.config), self._threads(), self.at)
        self.config, self.starts = self.dfa.begin(), ()

    def held(self) -> int:
        """Offset from which the text must be held: no match, present or possible, reaches across it."""
        return self.cut(self.at)

    def cut(self, limit: int) -> int:
        """The last offset up to `limit` that no match, present or possible, reaches across."""
        if self.config.states:
            limit = min(limit, self._threads()[0])
        return crossed(self.matches, limit) if self.found else limit

    @property
    def busy(self) -> bool:
        """Whether anything can be cut across or taken."""
        return bool(self.config.states or self.found)

    def take(self, upto: int) -> list[Match]:
        """The matches before `upto`, which are then forgotten. `upto` is an offset that `cut` gave."""
        if not self.found:
            return []
        matches = self.matches
        self.found = {}
        for match in matches:
            if match.end > upto:
                self.found.setdefault(match.rule, []).append(match)
        return [match for match in matches if match.end <= upto]

    def _moved(self, move: Move, threads: tuple[int, ...], ends: tuple[int, int]) -> None:
        """`threads` are all starts, the new one's last; `ends` where matches end that `ended`, and that are `done`."""
        self._note(move.ended, threads, ends[0])
        self._note(move.done, threads, ends[1])
        self.starts = tuple([threads[i] for i in move.kept])

    def _threads(self) -> tuple[int, ...]:
        recent = self._recent()
        return (*self.starts, *[recent[-age] for age in self.config.ages])

    def _recent(self) -> tuple[int, ...]:
        return tuple(range(self.at - YOUNG, self.at)) if self.recent is None else self.recent

    def _note(self, hits: Hits, threads: Sequence[int], end: int) -> None:
        for thread, rule in hits:
            start, found = threads[thread], self.found.setdefault(rule, [])
            while found and found[-1].start >= start:
                found.pop()
            found.append(Match(start, end, rule))


_START = attrgetter("start")


def crossed(matches: Sequence[Match], cut: int) -> int:
    """`cut`, or the start of the match that reaches across it, and so on."""
    for match in sorted((m for m in matches if m.start < cut), key=_START, reverse=True):
        if match.start < cut < match.end:
            cut = match.start
    return cut
