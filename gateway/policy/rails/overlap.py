"""Which words of a text stand in a prompt one after the other, told while the text streams.

Words are compared folded and without case, punctuation or spacing; a character of Chinese or Japanese is a word. The
prompt is kept as a suffix automaton (Blumer et al. 1985): a step for every word of the text, however long the prompt.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from gateway.policy.automaton.scanner import Match, crossed
from gateway.policy.normalise.fold import Fold

MOST = 4096  # words of a prompt that are looked for; its automaton takes a megabyte and some 30 ms, once

_PLAIN = re.compile(r"[\t\n\r -~]*")
_WORD = re.compile(r"[A-Za-z0-9]+")
_IDEOGRAPH = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")


@dataclass(frozen=True, slots=True)
class Word:
    """A word as it is compared, and where it stands."""

    text: str
    start: int
    end: int


@dataclass(slots=True)
class Words:
    """Cuts a text that arrives in pieces into words. `part` is the one that may still go on."""

    fold: Fold
    at: int = 0
    part: str = ""
    start: int = 0
    end: int = 0

    def feed(self, delta: str) -> Iterator[Word]:
        if _PLAIN.fullmatch(delta):
            yield from self._plain(delta)
        else:
            for place, char in enumerate(delta, self.at):
                yield from self._read(self.fold[ord(char)].casefold(), place)
        self.at += len(delta)

    def finish(self) -> Iterator[Word]:
        if self.part:
            yield Word(self.part, self.start, self.end)
            self.part = ""

    def _plain(self, delta: str) -> Iterator[Word]:
        """As below, faster."""
        last = 0
        for found in _WORD.finditer(delta):
            if found.start():
                yield from self.finish()
            self._grow(found[0].lower(), self.at + found.start(), self.at + found.end())
            last = found.end()
        if last < len(delta):
            yield from self.finish()

    def _read(self, folded: str, place: int) -> Iterator[Word]:
        for char in folded:
            ideograph = _IDEOGRAPH.match(char) is not None
            if ideograph or not char.isalnum():
                yield from self.finish()
            if ideograph:
                yield Word(char, place, place + 1)
            elif char.isalnum():
                self._grow(char, place, place + 1)

    def _grow(self, chars: str, start: int, end: int) -> None:
        if not self.part:
            self.start = start
        self.part += chars
        self.end = end


@dataclass(slots=True)
class Prompt:
    """All runs of words in a prompt. State 0 is the empty run; every other state stands for runs that end alike."""

    moves: list[dict[str, int]] = field(default_factory=lambda: [{}])
    links: list[int] = field(default_factory=lambda: [-1])
    lengths: list[int] = field(default_factory=lambda: [0])
    vocabulary: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, texts: Sequence[str], fold: Fold) -> Prompt:
        """A run does not go on from one text to the next."""
        prompt, last, left = cls(), 0, MOST
        for text in texts:
            words = Words(fold)
            for word in (*words.feed(text), *words.finish()):
                if left:
                    last = prompt.extended(last, word.text)
                    left -= 1
            last = prompt.extended(last, "") if left else last  # no word is empty
        prompt.vocabulary = sorted(prompt.moves[0])
        return prompt

    def step(self, state: int, length: int, word: str) -> tuple[int, int]:
        """The longest run that ends with `word`, after the run of `length` words that `state` stands for."""
        while state and word not in self.moves[state]:
            state = self.links[state]
            length = self.lengths[state]
        after = self.moves[state].get(word)
        return (0, 0) if after is None else (after, length + 1)

    def begins(self, part: str) -> bool:
        """Whether a word of the prompt begins with `part`."""
        at = bisect_left(self.vocabulary, part)
        return at < len(self.vocabulary) and self.vocabulary[at].startswith(part)

    def extended(self, last: int, word: str) -> int:
        """One word more at the end of the prompt."""
        new = self._state({}, self.lengths[last] + 1)
        state = last
        while state >= 0 and word not in self.moves[state]:
            self.moves[state][word] = new
            state = self.links[state]
        self.links[new] = 0 if state < 0 else self._ending(state, word)
        return new

    def _ending(self, state: int, word: str) -> int:
        """The state for runs that `word` ends after `state`, split off where it stood for longer ones as well."""
        after = self.moves[state][word]
        if self.lengths[after] == self.lengths[state] + 1:
            return after
        split = self._state(dict(self.moves[after]), self.lengths[state] + 1)
        self.links[split], self.links[after] = self.links[after], split
        while state >= 0 and self.moves[state].get(word) == after:
            self.moves[state][word] = split
            state = self.links[state]
        return split

    def _state(self, moves: dict[str, int], length: int) -> int:
        self.moves.append(moves)
        self.links.append(0)
        self.lengths.append(length)
        return len(self.moves) - 1


@dataclass(slots=True)
class Follower:
    """Follows one text: `found` are the places that repeat `least` or more words of the prompt in a row."""

    prompt: Prompt
    least: int
    words: Words
    state: int = 0
    length: int = 0
    starts: deque[int] = field(default_factory=deque)  # of the words of the run that the text ends with
    found: list[Match] = field(default_factory=list)

    def feed(self, delta: str) -> None:
        for word in self.words.feed(delta):
            self._step(word)

    def finish(self) -> None:
        for word in self.words.finish():
            self._step(word)
        self.starts.clear()

    def cut(self, limit: int) -> int:
        """The last offset up to `limit` that no repetition, present or possible, reaches across."""
        if self.words.part:
            if self.prompt.begins(self.words.part):
                limit = min(limit, self.starts[0] if self.starts else self.words.start)
        elif self.starts:
            limit = min(limit, self.starts[0])
        return crossed(self.found, limit)

    def take(self, upto: int) -> list[Match]:
        taken = [match for match in self.found if match.end <= upto]
        self.found = [match for match in self.found if match.end > upto]
        return taken

    def _step(self, word: Word) -> None:
        self.state, self.length = self.prompt.step(self.state, self.length, word.text)
        self.starts.append(word.start)
        while len(self.starts) > self.length:
            self.starts.popleft()
        if self.length >= self.least:
            start = self.starts[0]
            if self.found and self.found[-1].end > start:
                start = self.found.pop().start
            self.found.append(Match(start, word.end, 0))
