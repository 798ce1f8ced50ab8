"""The trees of some rules as one non-deterministic automaton, and which of its states can still become a match."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cache

from gateway.policy.automaton.charset import ANY, NEWLINE, WORD, Ranges
from gateway.policy.automaton.syntax import Chars, Choice, Look, Node, Place, Repeat, Seq

STATES = 20_000  # of one rule; what is longer is a list of words, not a pattern
Cores = frozenset[int]


class Kind(IntEnum):
    r"""What a character is to `\b`, `^` and `$`. `EDGE` is no character: the text's beginning or end."""

    EDGE = 0
    WORD = 1
    NEWLINE = 2
    OTHER = 3


CHARACTERS = (Kind.WORD, Kind.NEWLINE, Kind.OTHER)
NOTHING: frozenset[int] = frozenset()


def holds(look: Look, before: Kind, after: Kind) -> bool:
    match look:
        case Look.BEGIN:
            return before is Kind.EDGE
        case Look.END:
            return after is Kind.EDGE
        case Look.LINE_BEGIN:
            return before in (Kind.EDGE, Kind.NEWLINE)
        case Look.LINE_END:
            return after in (Kind.EDGE, Kind.NEWLINE)
        case Look.BOUNDARY:
            return (before is Kind.WORD) != (after is Kind.WORD)
        case Look.INSIDE:
            return (before is Kind.WORD) == (after is Kind.WORD)


class TooLarge(ValueError):
    """A rule with more than `STATES` states."""


@dataclass(frozen=True, slots=True)
class Reach:
    """Where a state leads without reading: states that read a character, and rules that are matched."""

    readers: tuple[int, ...]
    matched: frozenset[int]


@dataclass(slots=True, repr=False)
class Alphabet:
    """Characters no rule tells apart are one letter. Letters are small numbers; `kind[letter]` is its `Kind`."""

    edges: list[int]
    letters: list[int]  # of the range that begins at the edge of the same index
    kind: list[Kind]
    members: dict[Ranges, frozenset[int]]  # of each set: its letters

    def letter(self, char: str) -> int:
        code = ord(char)
        return self.letters[bisect_right(self.edges, 0xFFFD if 0xD800 <= code <= 0xDFFF else code) - 1]


def alphabet(sets: Iterable[Ranges]) -> Alphabet:
    distinct = list(dict.fromkeys((WORD, NEWLINE, *sets)))
    changes: dict[int, list[int]] = defaultdict(list)
    for number, ranges in enumerate(distinct):
        for low, high in ranges:
            changes[low].append(number)
            changes[high + 1].append(number)
    seen: dict[frozenset[int], int] = {}
    now: frozenset[int] = frozenset()
    found = Alphabet([], [], [], {})
    for edge in sorted({0, *changes} - {ANY[0][1] + 1}):
        for number in changes[edge]:
            now ^= {number}
        found.edges.append(edge)
        found.letters.append(seen.setdefault(now, len(seen)))
    found.kind = [_kind(signature) for signature in seen]
    found.members = {r: frozenset(i for s, i in seen.items() if n in s) for n, r in enumerate(distinct)}
    return found


def _kind(signature: frozenset[int]) -> Kind:
    if 0 in signature:
        return Kind.WORD
    return Kind.NEWLINE if 1 in signature else Kind.OTHER


@dataclass(slots=True, repr=False)
class Nfa:
    """States are numbers. A state reads one character (`reads`), looks around (`looks`), ends a rule, or only leads on.

    A *core* is a state a thread can rest in between two characters: a rule's start or what a reader leads to.
    """

    to: list[list[int]] = field(default_factory=list)
    reads: dict[int, Ranges] = field(default_factory=dict)
    looks: dict[int, Look] = field(default_factory=dict)
    ends: dict[int, int] = field(default_factory=dict)  # state -> rule
    starts: list[int] = field(default_factory=list)  # of each rule
    rule: list[int] = field(default_factory=list)  # of each state
    alphabet: Alphabet = field(init=False)
    letters: dict[int, frozenset[int]] = field(init=False)  # of each reader
    after: dict[int, int] = field(init=False)  # of each reader: the core it leads to, one for all that are alike
    growing: set[tuple[int, Kind]] = field(init=False)  # (core, kind before it): a longer match may come
    plain: dict[int, Reach] = field(default_factory=dict)  # of states from where no look is met
    looked: dict[tuple[int, Kind, Kind], Reach] = field(default_factory=dict)

    def state(self) -> int:
        self.to.append([])
        self.rule.append(len(self.starts) - 1)
        return len(self.to) - 1

    def reach(self, state: int, before: Kind, after: Kind) -> Reach:
        """Where `state` leads between a character of kind `before` and one of kind `after`."""
        found = self.plain.get(state) or self.looked.get((state, before, after))
        return found if found is not None else self._reach(state, before, after)

    def _reach(self, state: int, before: Kind, after: Kind) -> Reach:
        seen, stack, looked = {state}, [state], False
        while stack:
            here = stack.pop()
            if here in self.reads:
                continue
            look = self.looks.get(here)
            looked |= look is not None
            if look is None or holds(look, before, after):
                stack += (t for t in self.to[here] if t not in seen)
                seen.update(self.to[here])
        ends = frozenset(self.ends[s] for s in seen if s in self.ends)
        found = Reach(tuple(sorted(s for s in seen if s in self.reads)), ends)
        if looked:
            self.looked[state, before, after] = found
        else:
            self.plain[state] = found
        return found

    def hollow(self, rule: int) -> bool:
        """Whether `rule` matches the empty text somewhere."""
        return any(self.matched(self.starts[rule], before, after) for before in Kind for after in Kind)

    def matched(self, core: int, before: Kind, after: Kind) -> bool:
        return bool(self.reach(core, before, after).matched)


def built(nodes: Sequence[Node]) -> Nfa:
    """One automaton of all `nodes`; rule numbers are their indices. Raises `TooLarge`."""
    nfa = Nfa()
    for rule, node in enumerate(nodes):
        nfa.starts.append(0)
        start, end = nfa.state(), nfa.state()
        nfa.starts[rule] = start
        nfa.ends[end] = rule
        _Build(nfa, start + STATES).between(node, start, end)
    nfa.alphabet = alphabet(nfa.reads.values())
    nfa.letters = {state: nfa.alphabet.members[ranges] for state, ranges in nfa.reads.items()}
    nfa.after = _after(nfa)
    nfa.growing = _growing(nfa)
    return nfa


@dataclass(frozen=True, slots=True)
class _Build:
    nfa: Nfa
    limit: int

    def between(self, node: Node, start: int, end: int) -> None:
        """Make `node` lead from `start` to `end`."""
        if len(self.nfa.to) > self.limit:
            raise TooLarge(f"it takes more than {STATES} states; repeat less, or split it")
        match node:
            case Chars(ranges):
                reader = self._state(start)
                self.nfa.reads[reader] = ranges
                self.nfa.to[reader].append(end)
            case Place(look):
                gate = self._state(start)
                self.nfa.looks[gate] = look
                self.nfa.to[gate].append(end)
            case Seq(nodes):
                for inner in nodes:
                    after = self.nfa.state()
                    self.between(inner, start, after)
                    start = after
                self.nfa.to[start].append(end)
            case Choice(nodes):
                for inner in nodes:
                    self.between(inner, start, end)
            case Repeat(inner, low, high):
                self._repeat(inner, (low, high), start, end)

    def _repeat(self, node: Node, bounds: tuple[int, int | None], start: int, end: int) -> None:
        low, high = bounds
        for _ in range(low):
            after = self.nfa.state()
            self.between(node, start, after)
            start = after
        if high is None:
            loop = self._state(start)
            self.between(node, loop, loop)
            start = loop
        else:
            for _ in range(high - low):
                self.nfa.to[start].append(end)
                after = self.nfa.state()
                self.between(node, start, after)
                start = after
        self.nfa.to[start].append(end)

    def _state(self, start: int) -> int:
        state = self.nfa.state()
        self.nfa.to[start].append(state)
        return state


def _after(nfa: Nfa) -> dict[int, int]:
    """Threads that rest in different cores with the same future are alike only if the cores are made one."""
    alike: dict[tuple[Reach, ...], int] = {}
    after = {}
    for reader in nfa.reads:
        core = nfa.to[reader][0]
        future = tuple(nfa.reach(core, before, kind) for before in CHARACTERS for kind in Kind)
        after[reader] = alike.setdefault(future, core)
    return after


def _growing(nfa: Nfa) -> set[tuple[int, Kind]]:
    """Every (core, kind before) from which reading at least one more character can end in a match.

    Walked backwards from the places where a match can end, so that contradictory looks count for nothing.
    """

    @cache
    def kinds(reader: int) -> tuple[Kind, ...]:
        has = {nfa.alphabet.kind[letter] for letter in nfa.letters[reader]}
        return tuple(kind for kind in CHARACTERS if kind in has)

    cores = {*nfa.starts, *nfa.after.values()}
    before: dict[tuple[int, Kind], list[tuple[int, Kind]]] = defaultdict(list)
    for core in cores:
        for prior in Kind:
            for kind in CHARACTERS:
                for reader in nfa.reach(core, prior, kind).readers:
                    if kind in kinds(reader):
                        before[nfa.after[reader], kind].append((core, prior))
    ending = [n for n in before if any(nfa.matched(n[0], n[1], after) for after in Kind)]
    found: set[tuple[int, Kind]] = set()
    stack = [origin for node in ending for origin in before[node]]
    while stack:
        node = stack.pop()
        if node not in found:
            found.add(node)
            stack += before.get(node, ())
    return found
