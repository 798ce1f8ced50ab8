"""A batch of items through tokeniser, encoder and kernels: one packed forward pass, one MaxSim, whatever the batch."""

from __future__ import annotations

from bisect import bisect
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from gateway.scoring import features
from gateway.scoring.features import Judged
from gateway.scoring.head import Head
from gateway.scoring.lexical import known
from gateway.scoring.passages import Passage, passages
from gateway.scoring.reader import Read, Reader
from gateway.wire.sentences import sentences
from kernels.dispatch import Ops
from kernels.maxsim import PLAIN
from kernels.tile import packed


@dataclass(frozen=True, slots=True)
class Item:
    question: str
    context: tuple[str, ...]
    answer: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """Characters `start:end` of `context[source]`."""

    source: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Sentence:
    """Characters `start:end` of the answer, their support in [0, 1], and where most of that comes from."""

    start: int
    end: int
    support: float
    evidence: Evidence | None


@dataclass(frozen=True, slots=True)
class Scored:
    """`relevance` and `groundedness` in [0, 1]; `hallucination`, a probability; `signals` as of `features.signals`.

    All but relevance are None or empty where there is no context or nothing was said.
    """

    relevance: float
    groundedness: float | None
    sentences: tuple[Sentence, ...]
    hallucination: float | None = None
    signals: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Case:
    item: Item
    question: Read
    answer: Read
    context: tuple[tuple[Passage, Read], ...]


class Scorer:
    """`score` is a pure function of the weights and the items; an item's scores do not depend on its batch."""

    def __init__(self, reader: Reader, ops: Ops, head: Head) -> None:
        self._reader = reader
        self._ops = ops
        self._head = head

    @torch.inference_mode()
    def score(self, items: Sequence[Item]) -> list[Scored]:
        if not items:
            return []
        cases = self._read(items)
        matches = self._matched(cases)
        return [self._scored(case, best, where) for case, (best, where) in zip(cases, matches, strict=True)]

    def _read(self, items: Sequence[Item]) -> list[_Case]:
        chosen = [passages(item.context, item.answer) for item in items]
        kept = frozenset(part.text for parts in chosen for part in parts)
        texts = [part.text for parts in chosen for part in parts] + [t for i in items for t in (i.question, i.answer)]
        read = dict(zip(texts, self._reader.read(texts, keep=kept), strict=True))
        return [
            _Case(item, read[item.question], read[item.answer], tuple((part, read[part.text]) for part in parts))
            for item, parts in zip(items, chosen, strict=True)
        ]

    def _matched(self, cases: Sequence[_Case]) -> list[tuple[Tensor, Tensor]]:
        """Per case, for every piece of the answer: the similarity and the place, in the context, of its best match."""
        answers = [case.answer.encoding.tokens for case in cases]
        contexts = [torch.cat([answers[0][:0], *(read.encoding.tokens for _, read in case.context)]) for case in cases]
        device = self._ops.device
        ends = packed([len(a) for a in answers], device), packed([len(c) for c in contexts], device)
        longest = max(map(len, answers)), max(map(len, contexts))
        found = self._ops.ragged_maxsim_stats(torch.cat(answers), torch.cat(contexts), *ends, PLAIN, longest=longest)
        lengths = [len(a) for a in answers]
        pairs = zip(torch.split(found.best.cpu(), lengths), torch.split(found.where.cpu(), lengths), strict=True)
        return [(best, where - first) for (best, where), first in zip(pairs, ends[1].tolist(), strict=False)]

    def _scored(self, case: _Case, best: Tensor, where: Tensor) -> Scored:
        relevance = features.relevance(case.question.encoding.vector, case.answer.encoding.vector)
        if not any(len(read.text) for _, read in case.context) or not len(case.answer.text):
            return Scored(relevance, None, ())
        judged = features.judged(case.answer.text, best, _known(case))
        told = features.signals(judged)
        found = [_sentence(case, span, judged, where) for span in sentences(case.answer.text.text)]
        said = tuple(sentence for sentence in found if sentence is not None)
        return Scored(relevance, 1 - told["unsupported"], said, self._head(told), told)


def _known(case: _Case) -> frozenset[str]:
    """The stems of the whole context, also of what was not read."""
    if sum(len(part.text) for part, _ in case.context) < sum(map(len, case.item.context)):
        return known(case.item.context)
    return frozenset().union(*(read.stems for _, read in case.context))


def _sentence(case: _Case, span: tuple[int, int], judged: Judged, where: Tensor) -> Sentence | None:
    run = slice(*features.within(case.answer.text.spans, *span))
    if run.start == run.stop:
        return None
    supports, mass = judged.supports[run], judged.mass[run]
    evidence = _evidence(case.context, where[run], supports * mass)
    return Sentence(*span, features.mean_support(supports, mass), evidence)


def _evidence(context: Sequence[tuple[Passage, Read]], where: Tensor, given: Tensor) -> Evidence | None:
    """The sentence of the context that gives most support; the earliest of equals, None where there is no support."""
    places = [(at, begin) for at, (_, read) in enumerate(context) for begin, _ in read.text.spans]
    spans = [(at, *span) for at, (part, _) in enumerate(context) for span in sentences(part.text)]
    votes: Counter[tuple[int, int, int]] = Counter()
    for place, share in zip(where.tolist(), given.tolist(), strict=True):
        if share > 0:
            at, begin = places[place]
            votes[spans[bisect(spans, (at, begin, len(context[at][0].text))) - 1]] += share
    if not votes:
        return None
    at, start, end = max(votes, key=lambda span: (votes[span], [-part for part in span]))
    part = context[at][0]
    return Evidence(part.source, part.start + start, part.start + end)
