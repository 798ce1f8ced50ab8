"""The pattern rail: regular expressions in RE2's notation and packs of them, judged in this process.

Whole texts go through RE2, texts that still stream through an automaton of our own; both reach the same matches, which
are leftmost-longest and do not overlap, rule by rule. Findings name rules, never what they matched.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import re2

from gateway.config.policy import PatternSpec, PolicySpec
from gateway.errors import ConfigError, Problem
from gateway.policy.automaton.dfa import Dfa
from gateway.policy.automaton.matcher import Matcher, compiled, matcher
from gateway.policy.automaton.nfa import TooLarge, built
from gateway.policy.automaton.scanner import Match, Scanner
from gateway.policy.automaton.syntax import Node, longest, parsed, written
from gateway.policy.memory import Known
from gateway.policy.normalise.ahead import Ahead
from gateway.policy.normalise.codes import CODES
from gateway.policy.normalise.fold import Fold
from gateway.policy.normalise.rule import decomposed, refolded
from gateway.policy.normalise.track import Carried, Folded
from gateway.policy.normalise.view import Normaliser
from gateway.policy.pace import Pace
from gateway.policy.rail import Subject, Tools, Unit
from gateway.policy.rails import place
from gateway.policy.rails.packs import PACKS, Rule
from gateway.policy.rails.watch import Calm, Watch
from gateway.policy.verdict import ALLOW, Action, Edit, Finding, Verdict

_SHORT = 64  # characters: a text of fewer is sooner judged than looked up
_LONG, _FOREIGN = 8192, 1024  # characters, in ASCII and beyond: more than that may take too long to do in between


def _slow(text: str) -> bool:
    """Whether judging `text` may take 10 ms; no text takes more than linear time."""
    return len(text) > _FOREIGN and (len(text) > _LONG or not text.isascii())


@dataclass(slots=True)
class PatternRail:
    """`longest` is the most characters that a match of any rule has, so the most that a stream is held for one.

    `None` is no limit. A match in disguise takes as many characters as the disguise does.
    """

    name: str
    action: Action
    rules: tuple[Rule, ...]
    lens: Lens  # for texts as they stand
    folded: Lens  # for what they read once folded
    longest: int | None
    normaliser: Normaliser
    ahead: Ahead
    unit: Unit = Unit.MATCH
    calm: Calm = field(default_factory=dict)

    async def inspect(self, subject: Subject) -> Sequence[Verdict]:
        pace = Pace()
        verdicts = []
        for passage in subject.passages:
            verdicts.append(await self._told(passage.text, subject.known))
            if pace.due():
                await pace.rest()
        return verdicts

    async def _told(self, text: str, known: Known) -> Verdict:
        found: Verdict | None = known.get(text) if len(text) >= _SHORT else None
        if found is None:
            found = await asyncio.to_thread(self.judged, text) if _slow(text) else self.judged(text)
            if len(text) >= _SHORT:
                known.put(text, found, parts=2 * len(found.findings) + len(found.edits))
        return found

    def judged(self, text: str) -> Verdict:
        matches = self.lens.matcher.matches(text)
        for view in self.normaliser.views(text):
            matches += view.matches(self.folded.matcher.matches(view.text), self.folded.reworded)
        return self.verdict(matches)

    def held(self, text: str) -> int:
        """Offset in `text` from which characters must be held; `len(text)` if none need be."""
        return self.scanner().feed(text)

    def scanner(self) -> Watch:
        """Follows one text while it streams."""
        raw = Scanner(self.lens.dfa)
        folded = Folded(raw, Scanner(self.normaliser.spelling), self.ahead, self.folded.reworded)
        return Watch(self.verdict, raw, folded, tuple(Carried(code, self.ahead) for code in CODES), self.calm)

    def verdict(self, matches: Iterable[Match]) -> Verdict:
        found = list(_merged(matches))
        if not found:
            return ALLOW
        counts = Counter(map(_RULE, found))
        findings = frozenset(Finding(self.name, self.rules[rule].name, count) for rule, count in counts.items())
        if self.action is not Action.REDACT:
            return Verdict(self.action, findings)
        edits = frozenset(Edit(start, end, self.rules[rule].placeholder) for start, end, rule in found)
        return Verdict(self.action, findings, edits)


@dataclass(frozen=True, slots=True)
class Lens:
    """The same expressions twice: for texts at once, and for texts that stream. `reworded` are those made to fit."""

    matcher: Matcher
    dfa: Dfa
    reworded: frozenset[int] = frozenset()


def build(spec: PatternSpec, tools: Tools) -> PatternRail:  # noqa: ARG001 - every kind of rail is built alike
    """Raises `ConfigError` naming each expression that cannot be used, by its index, and why."""
    name = spec.name or "pattern"
    faults = list(_faults(spec))
    if faults:
        raise ConfigError([Problem(f"pattern {name}", 1, fault) for _, fault in faults])
    rules = _rules(spec)
    trees = [decomposed(parsed(rule.source)) for rule in rules]
    lengths = [longest(tree) for tree in trees]
    normaliser = Normaliser()
    try:
        lens = Lens(matcher([written(tree) for tree in trees]), Dfa(built(trees)))
        folded = _folded(trees, lens, normaliser.fold)
    except re2.error as error:
        raise ConfigError([Problem(f"pattern {name}", 1, f"all together: {_explained(error)}")]) from None
    return PatternRail(
        name=name,
        action=Action[spec.action.upper()],
        rules=rules,
        lens=lens,
        folded=folded,
        longest=None if None in lengths else max(n for n in lengths if n is not None),
        normaliser=normaliser,
        ahead=Ahead(folded.dfa, normaliser.fold),
    )


def _folded(trees: Sequence[Node], lens: Lens, fold: Fold) -> Lens:
    """`lens` for folded texts; itself where no rule names a character that folds."""
    fitted = [_fitted(tree, fold) for tree in trees]
    reworded = frozenset(i for i, (a, b) in enumerate(zip(fitted, trees, strict=True)) if a is not b)
    return Lens(matcher([written(t) for t in fitted]), Dfa(built(fitted)), reworded) if reworded else lens


def _fitted(tree: Node, fold: Fold) -> Node:
    new = refolded(tree, fold)
    # A rule that looks for nothing but what folding takes away would find it everywhere.
    return tree if new is not tree and built([new]).hollow(0) else new


def problems(policies: Iterable[PolicySpec], folder: Path) -> list[Problem]:
    """What is wrong with the expressions and packs of `policies`, each at its line."""
    return [
        place.problem(folder, policy, word, f"pattern: {message}")
        for policy in policies
        for rail in (*policy.input, *policy.output)
        if isinstance(rail, PatternSpec)
        for word, message in _faults(rail)
    ]


def _rules(spec: PatternSpec) -> tuple[Rule, ...]:
    denied = (Rule(f"deny[{i}]", _cased(source, fold=spec.ignore_case)) for i, source in enumerate(spec.deny))
    packed = (replace(rule, name=f"{pack}.{rule.name}") for pack in spec.builtin for rule in PACKS[pack])
    return (*denied, *packed)


def _cased(source: str, *, fold: bool) -> str:
    if not fold:
        return source
    quoted = source.rfind("\\Q") > source.rfind("\\E")
    return f"(?i:{source}\\E)" if quoted else f"(?i:{source})"


def _faults(spec: PatternSpec) -> Iterator[tuple[str, str]]:
    """(the word at fault, what is wrong with it)."""
    if not spec.deny and not spec.builtin:
        yield "pattern", "nothing to look for; give it `deny` or `builtin`"
    for pack in spec.builtin:
        if pack not in PACKS:
            near = get_close_matches(pack, PACKS, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(PACKS)}"
            yield pack, f"no pack named {pack!r}; {hint}"
    for index, source in enumerate(spec.deny):
        fault = _fault(_cased(source, fold=spec.ignore_case))
        if fault:
            yield source, f"deny[{index}]: {fault}"


def _fault(source: str) -> str:
    try:
        compiled(source)
        nfa = built([decomposed(parsed(source))])
    except re2.error as error:
        return _explained(error)
    except TooLarge as error:
        return str(error)
    except ValueError as error:
        return f"{error}; name the characters instead"
    except RecursionError:
        return "it is nested too deep"
    if nfa.hollow(0):
        return "it matches the empty text, so it would match everywhere; demand at least one character"
    return ""


_HINTS = {
    "(?": "RE2 has no look-around and no conditionals; match what stands around as well, or use \\b",
    "\\Z": "RE2 writes the end of the text \\z",
    "invalid escape sequence": "RE2 has no back-references, and escapes letters only where they mean something",
    "bad repetition": "RE2 has no possessive repetition, and repeats a repetition only in a group",
    "repetition": "RE2 repeats at most 1000 times, also when repetitions stand in one another",
    "too large": "repeat less, or split it",
}


def _explained(error: re2.error) -> str:
    said = error.args[0].decode("utf-8", "replace") if isinstance(error.args[0], bytes) else str(error.args[0])
    hint = next((hint for sign, hint in _HINTS.items() if sign in said), "see RE2's syntax")
    return f"RE2 cannot compile it ({said}); {hint}"


_ORDER, _RULE = itemgetter(2, 0, 1), itemgetter(2)


def _merged(matches: Iterable[Match]) -> Iterator[Match]:
    """Matches of one rule that overlap, as those of two views of a text may, made one."""
    for rule, group in groupby(sorted(matches, key=_ORDER), key=_RULE):
        start = end = -1
        for match in group:
            if match.start >= end:
                if end > start:
                    yield Match(start, end, rule)
                start, end = match.start, match.end
            end = max(end, match.end)
        yield Match(start, end, rule)
