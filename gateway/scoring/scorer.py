"""A batch of items through tokeniser, encoder and kernels: one packed forward pass, one MaxSim, whatever the batch."""

from __future__ import annotations

from bisect import bisect
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gateway.scoring import features
from gateway.scoring.encoder import Encoder, Encoding
from gateway.scoring.tokens import Pieces, pieces
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
    """`relevance` in [0, 1]; `groundedness` in [0, 1], None where there is no context or nothing was said."""

    relevance: float
    groundedness: float | None
    sentences: tuple[Sentence, ...]


@dataclass(frozen=True, slots=True)
class _Read:
    text: Pieces
    encoding: Encoding


@dataclass(frozen=True, slots=True)
class _Case:
    question: _Read
    context: tuple[_Read, ...]
    answer: _Read


class Scorer:
    """`score` is a pure function of the encoder and the items; an item's scores do not depend on its batch."""

    def __init__(self, encoder: Encoder, ops: Ops) -> None:
        self._encoder = encoder
        self._ops = ops

    @torch.inference_mode()
    def score(self, items: Sequence[Item]) -> list[Scored]:
        if not items:
            return []
        cases = self._read(items)
        matches = self._matched(cases)
        return [_scored(case, best, where) for case, (best, where) in zip(cases, matches, strict=True)]

    def _read(self, items: Sequence[Item]) -> list[_Case]:
        texts = [text for item in items for text in (item.question, item.answer, *item.context)]
        cut = pieces(self._encoder.tokenizer, texts)
        read = map(_Read, cut, self._encoder.encode(cut))
        return [
            _Case(question=next(read), answer=next(read), context=tuple(next(read) for _ in item.context))
            for item in items
        ]

    def _matched(self, cases: Sequence[_Case]) -> list[tuple[Tensor, Tensor]]:
        """Per case, for every piece of the answer: the similarity and the place, in the context, of its best match."""
        answers = [case.answer.encoding.tokens for case in cases]
        contexts = [torch.cat([answers[0][:0], *(c.encoding.tokens for c in case.context)]) for case in cases]
        device = self._ops.device
        ends = packed([len(a) for a in answers], device), packed([len(c) for c in contexts], device)
        found = self._ops.ragged_maxsim_stats(torch.cat(answers), torch.cat(contexts), *ends, PLAIN)
        lengths = [len(a) for a in answers]
        first = ends[1].cpu()[:-1]
        return [
            (b, w - start)
            for b, w, start in zip(
                torch.split(found.best.cpu(), lengths), torch.split(found.where.cpu(), lengths), first, strict=True
            )
        ]


def _scored(case: _Case, best: Tensor, where: Tensor) -> Scored:
    relevance = features.relevance(case.question.encoding.vector, case.answer.encoding.vector)
    if not any(len(c.text) for c in case.context) or not len(case.answer.text):
        return Scored(relevance, None, ())
    supports, mass = features.support(best), features.weights(case.answer.text)
    judged = [_sentence(case, span, supports, mass, where) for span in sentences(case.answer.text.text)]
    return Scored(relevance, features.mean_support(supports, mass), tuple(s for s in judged if s is not None))


def _sentence(case: _Case, span: tuple[int, int], supports: Tensor, mass: Tensor, where: Tensor) -> Sentence | None:
    start, end = features.within(case.answer.text.spans, *span)
    if start == end:
        return None
    run = slice(start, end)
    value = features.mean_support(supports[run], mass[run])
    return Sentence(*span, value, _evidence(case.context, where[run], supports[run] * mass[run]))


def _evidence(context: Sequence[_Read], where: Tensor, given: Tensor) -> Evidence | None:
    """The sentence of the context that gives most support; the earliest of equals, None where there is no support."""
    places = [(source, begin) for source, read in enumerate(context) for begin, _ in read.text.spans]
    spans = [(source, *span) for source, read in enumerate(context) for span in sentences(read.text.text)]
    votes: Counter[tuple[int, int, int]] = Counter()
    for at, share in zip(where.tolist(), given.tolist(), strict=True):
        if share > 0:
            source, begin = places[at]
            votes[spans[bisect(spans, (source, begin, len(context[source].text.text))) - 1]] += share
    best = max(votes, key=lambda span: (votes[span], [-place for place in span]), default=None)
    return Evidence(*best) if best else None
