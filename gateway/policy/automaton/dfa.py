"""The automaton made deterministic, state by state, when a text first needs one.

A *thread* is a place where a match may have begun; its `State` says what may still become of it. A `Config` is all
the threads of a text, earliest first, and a `Move` is what one more character makes of them. Moves are remembered:
following a text costs one look-up a character, however many rules there are.

Most threads die young: at the second letter of a word that only begins like a key. So a configuration knows how many
characters ago a young thread began, and only of old ones must the scanner keep where that was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.policy.automaton.nfa import Kind, Nfa

REMEMBERED = 50_000  # moves and steps; then memory is given back and learning starts over
YOUNG = 4  # characters
CROWD = 8  # threads; larger configurations are hardly ever met twice
Rules = frozenset[int]
Hits = tuple[tuple[int, int], ...]  # (thread, rule)
NONE: Rules = frozenset()


@dataclass(slots=True, eq=False, repr=False)
class State:
    """What may still become of one thread; two threads in the same state have the same future.

    `late` are the rules that match here if a character of that kind, or the end, comes next.
    """

    cores: tuple[int, ...]
    before: Kind
    late: dict[Kind, Rules]
    steps: dict[int, Step] = field(default_factory=dict)  # by letter
    quiet: dict[int, State] = field(default_factory=dict)  # by letter, where nothing matches
    less: dict[Rules, State] = field(default_factory=dict)  # without those rules


@dataclass(frozen=True, slots=True)
class Step:
    """Where a letter takes a thread. `done` matched there whatever follows; `state` has no cores if that is all."""

    state: State
    done: Rules


@dataclass(slots=True, eq=False, repr=False)
class Config:
    """Threads, earliest first: the `old` ones, then young ones; `ages` says how many characters ago these began.

    `plain` are the moves that end no match and leave the old threads as they are.
    """

    states: tuple[State, ...]
    ages: tuple[int, ...]
    before: Kind
    old: int
    plain: dict[str, Config] = field(default_factory=dict)
    moves: dict[str, Move] = field(default_factory=dict)
    letters: dict[int, Move] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Move:
    """What a character does. Threads are numbered as they stood; the one that begins with the character comes last.

    `ended` matched just before the character, `done` match with it. `kept` are the old threads of `target`, in order;
    `born` says whether the new thread lives on.
    """

    target: Config
    kept: tuple[int, ...]
    ended: Hits
    done: Hits
    born: bool
    plain: bool


@dataclass(slots=True, repr=False)
class Dfa:
    nfa: Nfa
    states: dict[tuple[tuple[int, ...], Kind], State] = field(default_factory=dict)
    configs: dict[tuple[tuple[State, ...], tuple[int, ...], Kind], Config] = field(default_factory=dict)
    initial: dict[Kind, State] = field(default_factory=dict)
    remembered: int = 0

    def begin(self) -> Config:
        """No thread yet, at the beginning of a text."""
        return self._config((), (), Kind.EDGE)

    def move(self, config: Config, char: str) -> Move:
        """What `char` makes of `config`; remembered in it, unless it holds a crowd."""
        letter = self.nfa.alphabet.letter(char)
        found = config.letters.get(letter)
        if found is None:
            found = self._move(config, letter)
            if len(config.states) > CROWD:
                return found
            self._remember()
            config.letters[letter] = found
        self._remember()
        if found.plain:
            config.plain[char] = found.target
        else:
            config.moves[char] = found
        return found

    def last(self, config: Config) -> Hits:
        """What matches because the text ends here."""
        return self._resolved(config.states, Kind.EDGE)[1]

    def _move(self, config: Config, letter: int) -> Move:
        kind = self.nfa.alphabet.kind[letter]
        threads = [*config.states, self._initial(config.before)]
        kept = _quietly(threads, letter)
        ended: Hits = ()
        done: Hits = ()
        if kept is None:
            resolved, ended = self._resolved(config.states, kind)
            kept, done = self._stepped([*resolved, threads[-1]], letter, kind)
        places = list(kept.values())
        ages = _ages(config, places)
        target = self._config(tuple(kept), ages, kind)
        plain = not ended and not done and target.old == config.old == (places[target.old - 1] + 1 if target.old else 0)
        old = () if plain else tuple(places[: target.old])
        return Move(target, old, ended, done, len(threads) - 1 in places[-1:], plain)

    def _stepped(self, threads: list[State], letter: int, kind: Kind) -> tuple[dict[State, int], Hits]:
        """The threads that live on, with their numbers, and what matches with this letter whatever follows."""
        done: list[tuple[int, int]] = []
        kept: dict[State, int] = {}
        covered = NONE  # a rule that matched further left and up to here cannot match from within that match
        for index, thread in enumerate(threads):
            step = self._step(thread, letter, kind)
            fresh = step.done - covered
            state = self._without(step.state, covered)
            done += ((index, rule) for rule in sorted(fresh))
            covered |= fresh
            if state.cores:
                kept.setdefault(state, index)
        return kept, tuple(done)

    def _initial(self, before: Kind) -> State:
        state = self.initial.get(before)
        if state is None:
            state = self.initial[before] = self._state(self.nfa.starts, before)
        return state

    def _resolved(self, states: Sequence[State], after: Kind) -> tuple[list[State], Hits]:
        """`states` once it is known what follows: what matches by it, and the threads that are not covered by that."""
        covered = NONE
        ended: list[tuple[int, int]] = []
        out: list[State] = []
        for index, state in enumerate(states):
            late = state.late[after] - covered
            out.append(self._without(state, covered))
            ended += ((index, rule) for rule in sorted(late))
            covered |= late
        return out, tuple(ended)

    def _step(self, state: State, letter: int, kind: Kind) -> Step:
        step = state.steps.get(letter)
        if step is None:
            step = state.steps[letter] = self._arrived(self._read(state, letter, kind), kind)
            if not step.done and not state.late[kind]:
                state.quiet[letter] = step.state
            self._remember()
        return step

    def _read(self, state: State, letter: int, kind: Kind) -> set[int]:
        nfa = self.nfa
        return {
            nfa.after[reader]
            for core in state.cores
            for reader in nfa.reach(core, state.before, kind).readers
            if letter in nfa.letters[reader]
        }

    def _arrived(self, cores: set[int], before: Kind) -> Step:
        nfa = self.nfa
        late = [{r for c in cores for r in nfa.reach(c, before, after).matched} for after in Kind]
        done = frozenset(set.intersection(*late))
        alive = (c for c in cores if (c, before) in nfa.growing or (nfa.rule[c] not in done and self._may(c, before)))
        return Step(self._state(sorted(alive), before), done)

    def _may(self, core: int, before: Kind) -> bool:
        return any(self.nfa.reach(core, before, after).matched for after in Kind)

    def _state(self, cores: Sequence[int], before: Kind) -> State:
        key = tuple(cores), before
        state = self.states.get(key)
        if state is None:
            alive = tuple(c for c in cores if (c, before) in self.nfa.growing or self._may(c, before))
            known = self.states.get((alive, before)) or State(alive, before, self._late(alive, before))
            state = self.states[key] = self.states[alive, before] = known
        return state

    def _late(self, cores: Sequence[int], before: Kind) -> dict[Kind, Rules]:
        reach = self.nfa.reach
        late = {after: frozenset(r for c in cores for r in reach(c, before, after).matched) for after in Kind}
        done = frozenset.intersection(*late.values())
        return {after: rules - done for after, rules in late.items()}

    def _without(self, state: State, rules: Rules) -> State:
        """`state` without `rules`, which something further left has covered."""
        if not rules or not state.cores:
            return state
        found = state.less.get(rules)
        if found is None:
            left = [core for core in state.cores if self.nfa.rule[core] not in rules]
            found = state.less[rules] = self._state(left, state.before)
            self._remember()
        return found

    def _config(self, states: tuple[State, ...], ages: tuple[int, ...], before: Kind) -> Config:
        key = states, ages, before
        config = self.configs.get(key)
        if config is None:
            config = Config(states, ages, before, len(states) - len(ages))
            if len(states) <= CROWD:
                self.configs[key] = config
        return config

    def _remember(self) -> None:
        self.remembered += 1
        if self.remembered > REMEMBERED:
            self._forget()

    def _forget(self) -> None:
        for state in self.states.values():
            state.steps.clear()
            state.quiet.clear()
            state.less.clear()
        for config in self.configs.values():
            config.plain.clear()
            config.moves.clear()
            config.letters.clear()
        self.states.clear()
        self.configs.clear()
        self.initial.clear()
        self.remembered = 0


def _quietly(threads: list[State], letter: int) -> dict[State, int] | None:
    """The threads that live on, with their numbers, where it is known of all that nothing matches."""
    kept: dict[State, int] = {}
    for index, thread in enumerate(threads):
        state = thread.quiet.get(letter)
        if state is None:
            return None
        if state.cores:
            kept.setdefault(state, index)
    return kept


def _ages(config: Config, places: list[int]) -> tuple[int, ...]:
    """Of the threads that stood at `places` in `config` (the new one last): the ages of those that are young."""
    ages = ((*config.ages, 0)[place - config.old] + 1 for place in places[-YOUNG - 1 :] if place >= config.old)
    return tuple(age for age in ages if age <= YOUNG)
