"""The topics rail: what a conversation may be about, told by examples and by plain words.

What users say and what models answer is judged sentence by sentence. Words are looked for here; how near a sentence
comes to examples is asked of the scorer, which has the encoder.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any, ClassVar

from gateway.config.policy import PatternSpec, TopicsSpec
from gateway.errors import ConfigError, Problem, WorkerFault
from gateway.policy.normalise.view import Normaliser
from gateway.policy.rail import Caller, Subject, Tools, Unit
from gateway.policy.rails import pattern
from gateway.policy.rails.batch import clean
from gateway.policy.rails.packs import Rule
from gateway.policy.rails.pattern import PatternRail
from gateway.policy.verdict import ALLOW, Action, Finding, Verdict
from gateway.wire.passage import Passage
from gateway.wire.sentences import sentences

OFF = "off_topic"
FEW = 4  # words: with less ("Yes, please.") nobody is off topic
WHOLE = 1000  # characters: a text that is shorter is looked at as one as well
_KEPT = 4096  # texts whose topics are remembered: a conversation's turns come again with every request
_WORD = re.compile(r"[^\W_]+")

Json = Any
Topics = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Near:
    """The topics that examples tell, `denied` ones first. `known` has the rules of texts that were judged before."""

    denied: Topics
    allowed: Topics
    threshold: float
    worker: Caller
    deadline_s: float
    normaliser: Normaliser = field(default_factory=Normaliser)
    known: OrderedDict[bytes, frozenset[str]] = field(default_factory=OrderedDict)

    async def rules(self, texts: Sequence[str]) -> list[frozenset[str]]:
        """What each of `texts` breaks: names of denied topics, or `off_topic`. Raises `WorkerError`."""
        keys = [blake2b(text.encode(), digest_size=16).digest() for text in texts]
        parts = {key: self._parts(text) for key, text in zip(keys, texts, strict=True) if key not in self.known}
        found = await self._asked(parts) if any(parts.values()) else dict.fromkeys(parts, frozenset[str]())
        rules = [found[key] if key in found else self.known[key] for key in keys]
        for key, broken in zip(keys, rules, strict=True):
            self._keep(key, broken)
        return rules

    async def _asked(self, parts: Mapping[bytes, Sequence[str]]) -> dict[bytes, frozenset[str]]:
        said = [part for texts in parts.values() for part in texts]
        groups = [*self.denied.values(), *self.allowed.values()]
        payload = {"texts": said, "groups": groups}
        answer = await self.worker.call("similar", payload, deadline_s=self.deadline_s)
        rows = iter(answer["similar"])
        if len(answer["similar"]) != len(said):
            raise WorkerFault("the scorer did not answer for every text")
        return {key: self._broken(texts, [next(rows) for _ in texts]) for key, texts in parts.items()}

    def _broken(self, parts: Sequence[str], rows: Sequence[Sequence[float]]) -> frozenset[str]:
        """Of a text whose `parts` are as near to each topic as `rows` say. It is on topic if any part is."""
        count = len(self.denied)
        rules: set[str] = set()
        for row in rows:
            least = max([self.threshold, *row[count:]])
            rules |= {name for name, near in zip(self.denied, row[:count], strict=True) if near >= least}
        on = any(near >= self.threshold for row in rows for near in row[count:])
        if self.allowed and not on and any(map(_telling, parts)):
            rules.add(OFF)
        return frozenset(rules)

    def _parts(self, text: str) -> list[str]:
        """What of a text is looked at: its sentences and, unless it is long, all of them; with its disguises off."""
        normal = self.normaliser.normal(text)
        readings = [normal.folded.text, *(view.text for view in normal.decoded)]
        return list(dict.fromkeys(part for reading in readings for part in _told(reading)))

    def _keep(self, key: bytes, broken: frozenset[str]) -> None:
        self.known[key] = broken
        self.known.move_to_end(key)
        if len(self.known) > _KEPT:
            self.known.popitem(last=False)


def _told(text: str) -> Iterator[str]:
    parts = [text[start:end].strip() for start, end in sentences(text)]
    if len(text) <= WHOLE:
        parts.append(text.strip())
    yield from (part for part in parts if _WORD.search(part))


def _telling(part: str) -> bool:
    """Whether it says enough to be off a topic. Not every script puts blanks between words."""
    return len(_WORD.findall(part)) >= FEW or (not part.isascii() and len(part) >= 3 * FEW)


@dataclass(frozen=True, slots=True)
class TopicsRail:
    channels: ClassVar[frozenset[str]] = frozenset({"content"})
    name: str
    action: Action
    words: PatternRail | None
    near: Near | None
    unit: Unit

    async def inspect(self, subject: Subject) -> Sequence[Verdict]:
        said = [self._worded(p) if _spoken(p) else ALLOW for p in subject.passages]
        left = [n for n, p in enumerate(subject.passages) if said[n] is ALLOW and _spoken(p)]
        if self.near and left:
            rules = await self.near.rules([clean(subject.passages[n].text) for n in left])
            for n, broken in zip(left, rules, strict=True):
                said[n] = self._verdict(broken)
        return said

    def _worded(self, passage: Passage) -> Verdict:
        return self.words.judged(passage.text) if self.words else ALLOW

    def _verdict(self, rules: frozenset[str]) -> Verdict:
        return Verdict(self.action, frozenset(Finding(self.name, rule) for rule in rules)) if rules else ALLOW


def _spoken(passage: Passage) -> bool:
    """What the user says, and what the model says to the user."""
    role = "user" if passage.direction == "input" else "assistant"
    return passage.role == role and passage.channel == "content" and bool(passage.text.strip())


def build(spec: TopicsSpec, tools: Tools) -> TopicsRail:
    """Raises `ConfigError` for topics that nothing tells."""
    faults = list(_faults(spec))
    if faults:
        raise ConfigError([Problem("", 1, fault) for fault in faults])
    name = spec.name or "topics"
    near = None
    if spec.deny or spec.allow:
        near = Near(spec.deny, spec.allow, spec.threshold, tools.workers["scorer"], tools.deadline_s)
    return TopicsRail(
        name=name,
        action=Action[spec.action.upper()],
        words=_words(name, spec, tools) if spec.keywords else None,
        near=near,
        unit=Unit(spec.unit),
    )


def _faults(spec: TopicsSpec) -> Iterator[str]:
    if not (spec.deny or spec.allow or spec.keywords):
        yield "there is no topic: give it `deny`, `allow` or `keywords`"
    for place, topics in (("deny", spec.deny), ("allow", spec.allow), ("keywords", spec.keywords)):
        for topic, told in topics.items():
            if not told or not all(_WORD.search(one) for one in told):
                yield f"{place}.{topic}: should be a list of texts, none of them empty"
    for topic in sorted(set(spec.deny) & set(spec.allow)):
        yield f"allow.{topic}: is denied as well"


def _words(name: str, spec: TopicsSpec, tools: Tools) -> PatternRail:
    rules = [Rule(topic, "|".join(map(_expression, words))) for topic, words in spec.keywords.items()]
    deny = tuple(rule.source for rule in rules)
    patterns = PatternSpec(kind="pattern", name=name, deny=deny, ignore_case=True, action=spec.action)
    return replace(pattern.build(patterns, tools), rules=tuple(rules))


def _expression(phrase: str) -> str:
    """`phrase` as whole words, whatever the white space in it; RE2 knows where words of ASCII end, and only those."""
    words = phrase.split()
    return _edge(words[0][0]) + r"\s+".join(map(re.escape, words)) + _edge(words[-1][-1])


def _edge(char: str) -> str:
    return r"\b" if char.isascii() and (char.isalnum() or char == "_") else ""
