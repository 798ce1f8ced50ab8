"""The leakage rail: what stands in the system prompt must not stand in an answer.

A canary is a word of the operator's own that the prompt has in it: it is found whatever its case and spacing, folded
and decoded as patterns are. An overlap is a number of words in a row that stand in the prompt in the same order. A
stream is held only as long as one of them may be going on, so that nothing of what is blocked was delivered.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from gateway.config.policy import LeakageSpec, PatternSpec
from gateway.errors import ConfigError, Problem
from gateway.policy.automaton.scanner import Match
from gateway.policy.normalise.fold import Fold
from gateway.policy.rail import Subject, Tools, Unit
from gateway.policy.rails import pattern
from gateway.policy.rails.overlap import Follower, Prompt, Words
from gateway.policy.rails.packs import Rule
from gateway.policy.rails.pattern import PatternRail
from gateway.policy.rails.watch import Watch
from gateway.policy.verdict import ALLOW, Action, Edit, Finding, Verdict

SHORTEST = 8  # letters and digits of a canary; fewer turn up by chance
PLACEHOLDER = "[REDACTED]"
_KEPT = 16  # prompts


@dataclass(slots=True)
class Prompts:
    """The prompts of late, so that one that many exchanges share is read once."""

    fold: Fold = field(default_factory=Fold)
    kept: OrderedDict[tuple[str, ...], Prompt] = field(default_factory=OrderedDict)

    def of(self, texts: Sequence[str]) -> Prompt:
        key = tuple(texts)
        found = self.kept.get(key)
        if found is None:
            found = self.kept[key] = Prompt.of(texts, self.fold)
            if len(self.kept) > _KEPT:
                self.kept.popitem(last=False)
        self.kept.move_to_end(key)
        return found


@dataclass(frozen=True, slots=True)
class LeakageRail:
    """`system` is the prompt of the exchange that is judged; as it is built, a rail knows of none."""

    unit: ClassVar[Unit] = Unit.MATCH
    name: str
    action: Action
    canary: PatternRail | None
    words: int
    prompts: Prompts
    system: Sequence[str] = ()

    def told(self, system: Sequence[str]) -> LeakageRail:
        return replace(self, system=system)

    async def inspect(self, subject: Subject) -> Sequence[Verdict]:
        return [self.judged(p.text) if p.direction == "output" else ALLOW for p in subject.passages]

    def judged(self, text: str) -> Verdict:
        said = self.canary.judged(text) if self.canary else ALLOW
        follower = self._follower()
        if follower is None:
            return said
        follower.feed(text)
        follower.finish()
        return said | self.verdict(follower.found)

    def scanner(self) -> LeakWatch:
        return LeakWatch(self, self.canary.scanner() if self.canary else None, self._follower())

    def _follower(self) -> Follower | None:
        if not self.words or not any(self.system):
            return None
        return Follower(self.prompts.of(self.system), self.words, Words(self.prompts.fold))

    def verdict(self, found: Iterable[Match]) -> Verdict:
        """What repetitions of the prompt come to."""
        spans = list(found)
        if not spans:
            return ALLOW
        edits = (Edit(m.start, m.end, PLACEHOLDER) for m in spans) if self.action is Action.REDACT else ()
        return Verdict(self.action, frozenset({Finding(self.name, "overlap", len(spans))}), frozenset(edits))


@dataclass(slots=True)
class LeakWatch:
    """One text as it streams; a `Scanner`."""

    rail: LeakageRail
    canary: Watch | None
    follower: Follower | None
    at: int = 0

    def feed(self, delta: str) -> int:
        self.at += len(delta)
        if self.canary:
            self.canary.feed(delta)
        if self.follower:
            self.follower.feed(delta)
        return self.cut(self.at)

    def cut(self, limit: int) -> int:
        before = -1
        while limit != before:
            before = limit
            limit = self.canary.cut(limit) if self.canary else limit
            limit = self.follower.cut(limit) if self.follower else limit
        return limit

    def finish(self) -> None:
        if self.canary:
            self.canary.finish()
        if self.follower:
            self.follower.finish()

    def take(self, upto: int) -> Verdict:
        said = self.canary.take(upto) if self.canary else ALLOW
        found = self.follower.take(upto) if self.follower else ()
        return said | self.rail.verdict(found) if found else said


def build(spec: LeakageSpec, tools: Tools) -> LeakageRail:
    """Raises `ConfigError` for a canary that cannot be told from other text."""
    if spec.canary is None and not spec.words:
        raise ConfigError([Problem("", 1, "looks for nothing: give it a `canary`, or a number of `words`")])
    name = spec.name or "leakage"
    return LeakageRail(
        name=name,
        action=Action[spec.action.upper()],
        canary=None if spec.canary is None else _canary(name, spec, tools),
        words=spec.words,
        prompts=Prompts(),
    )


def _canary(name: str, spec: LeakageSpec, tools: Tools) -> PatternRail:
    letters = re.findall("[A-Za-z0-9]", spec.canary or "")
    if not (spec.canary or "").isascii() or len(letters) < SHORTEST:
        message = (
            f"canary: should be ASCII and have {SHORTEST} letters and digits or more, so that none comes by chance"
        )
        raise ConfigError([Problem("", 1, message)])
    source = f"(?i:{r'[^A-Za-z0-9]*'.join(letters)})"
    built = pattern.build(PatternSpec(kind="pattern", name=name, deny=(source,), action=spec.action), tools)
    return replace(built, rules=(Rule("canary", source, PLACEHOLDER),))
