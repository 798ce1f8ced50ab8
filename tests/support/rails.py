"""Rails small enough to be right at sight, and the policies made of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.config.policy import OnError, PolicySpec
from gateway.policy.policy import Bound, Policy
from gateway.policy.rail import Rail, Subject, Unit
from gateway.policy.verdict import ALLOW, Action, Edit, Finding, Verdict


@dataclass(slots=True)
class Words:
    """Looks for fixed words, leftmost first, none inside another; `unit` says how much text it is shown at once."""

    name: str
    words: tuple[str, ...]
    action: Action = Action.BLOCK
    unit: Unit = Unit.MATCH
    new: str = "[gone]"
    seen: list[str] = field(default_factory=list)

    async def inspect(self, subject: Subject) -> Sequence[Verdict]:
        self.seen += (passage.text for passage in subject.passages)
        return [self.verdict(self.found(passage.text)) for passage in subject.passages]

    def scanner(self) -> WordScanner:
        return WordScanner(self)

    def found(self, text: str) -> list[tuple[int, int]]:
        spans: list[tuple[int, int]] = []
        at = 0
        while at < len(text):
            word = next((w for w in self.words if text.startswith(w, at)), "")
            if word:
                spans.append((at, at + len(word)))
            at += len(word) or 1
        return spans

    def verdict(self, spans: Sequence[tuple[int, int]]) -> Verdict:
        if not spans:
            return ALLOW
        edits = frozenset(Edit(a, b, self.new) for a, b in spans) if self.action is Action.REDACT else frozenset()
        return Verdict(self.action, frozenset({Finding(self.name, "word", len(spans))}), edits)


@dataclass(slots=True)
class WordScanner:
    """Keeps the whole text, and finds again each time: slow, and plainly the same as `Words.found`."""

    rail: Words
    text: str = ""
    taken: int = 0

    def feed(self, delta: str) -> int:
        self.text += delta
        spans = self.rail.found(self.text)
        begun = [at for at in range(len(self.text)) if self._may_grow(self.text[at:])]
        free = [at for at in begun if not any(a < at < b for a, b in spans)]
        return min(free, default=len(self.text))

    def _may_grow(self, tail: str) -> bool:
        return any(word.startswith(tail) and word != tail for word in self.rail.words)

    def finish(self) -> None:
        pass

    def take(self, upto: int) -> Verdict:
        spans = [(a, b) for a, b in self.rail.found(self.text) if self.taken <= a < upto]
        self.taken = max(self.taken, upto)
        return self.rail.verdict(spans)


@dataclass(slots=True)
class Doing:
    """A rail that does as told: `act` gets the subject and returns its verdicts."""

    name: str
    act: Callable[[Subject], Awaitable[Any]]
    unit: Unit = Unit.SENTENCE
    cancelled: int = 0

    async def inspect(self, subject: Subject) -> Sequence[Verdict]:
        try:
            answer: Sequence[Verdict] = await self.act(subject)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return answer


def bound(rail: Rail, *, enforced: bool = True, on_error: OnError = "closed", deadline_s: float = 30.0) -> Bound:
    return Bound(rail, deadline_s, on_error, enforced)


def policy(
    *, inward: Iterable[Bound] = (), outward: Iterable[Bound] = (), name: str = "default", **more: Any
) -> Policy:
    """A policy of rails made in a test; `more` goes into its spec."""
    return Policy(name, "digest", PolicySpec(name=name, **more), tuple(inward), tuple(outward))
