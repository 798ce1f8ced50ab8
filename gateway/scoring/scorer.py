"""A batch of items through tokeniser, encoder and kernels: one packed forward pass, one MaxSim, whatever the batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from gateway.scoring import features, uncertainty
from gateway.scoring.agreement import agreements
from gateway.scoring.alone import Alone
from gateway.scoring.bank import Banks
from gateway.scoring.features import Judged
from gateway.scoring.head import Head
from gateway.scoring.lexical import known
from gateway.scoring.passages import Passage, passages
from gateway.scoring.reader import Read, Reader
from gateway.scoring.tokens import Pieces
from gateway.scoring.uncertainty import Token
from gateway.wire.sentences import sentences
from kernels.dispatch import Ops
from kernels.maxsim import PLAIN
from kernels.tile import packed


@dataclass(frozen=True, slots=True)
class Item:
    """`samples` are other answers to the same prompt, `tokens` the answer's log-probabilities.

    `known` names the policy whose banks of known texts the question is held against. `alone` asks for what is said of
    the texts by themselves: long ones are read once more for it, in parts.
    """

    question: str
    context: tuple[str, ...]
    answer: str
    samples: tuple[str, ...] = ()
    tokens: tuple[Token, ...] = ()
    known: str = ""
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Evidence:
    """Characters `start:end` of `context[source]`."""

    source: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Sentence:
    """Characters `start:end` of the answer, their support in [0, 1], and where most of that comes from.

    `fired` names what speaks against it: `meaning` (little in the context is like it), new `words`, `numbers`, `names`.
    """

    start: int
    end: int
    support: float
    evidence: Evidence | None
    fired: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Scored:
    """`relevance` and `groundedness` in [0, 1]; `hallucination`, a probability; `signals` as of `features.signals`.

    All but relevance are None or empty where there is no context or nothing was said. `also` has, in [0, 1] and where
    the item gives what it takes: `consistency` of samples, `confidence` by log-probabilities, `novelty` of the question
    and how like an `attack` it is, `toxicity` of the answer, `injection` in the question. `vectors` are the question's
    and the answer's, of length 1.
    """

    relevance: float
    groundedness: float | None
    sentences: tuple[Sentence, ...]
    hallucination: float | None = None
    signals: Mapping[str, float] = field(default_factory=dict)
    also: Mapping[str, float] = field(default_factory=dict)
    vectors: tuple[Tensor, Tensor] | None = None


@dataclass(frozen=True, slots=True)
class Ready:
    """An item, the parts of its context that are read, and the pieces of its texts that were not remembered."""

    item: Item
    parts: tuple[Passage, ...]
    cut: Mapping[str, Pieces]

    def texts(self) -> Iterator[str]:
        yield from (part.text for part in self.parts)
        yield from (self.item.question, self.item.answer, *self.item.samples)


@dataclass(frozen=True, slots=True)
class _Case:
    item: Item
    question: Read
    answer: Read
    samples: tuple[Read, ...]
    context: tuple[tuple[Passage, Read], ...]

    @property
    def vectors(self) -> tuple[Tensor, Tensor]:
        return self.question.encoding.vector, self.answer.encoding.vector


class Scorer:
    """`score` is a pure function of the weights and the items; an item's scores do not depend on its batch.

    `ready` is for any thread, `scored` for one. A bank that is not filled yet gives no score.
    """

    def __init__(
        self, reader: Reader, ops: Ops, head: Head, banks: Banks | None = None, alone: Alone | None = None
    ) -> None:
        self._reader = reader
        self._ops = ops
        self._head = head
        self._banks = banks or {}
        self._alone = alone

    def score(self, items: Sequence[Item]) -> list[Scored]:
        return self.scored([self.ready(item) for item in items])

    def ready(self, item: Item) -> Ready:
        """Choose what of the context is read, and cut what was not read before into pieces."""
        ready = Ready(item, tuple(passages(item.context, item.answer)), {})
        return replace(ready, cut=self._reader.cut(list(ready.texts())))

    def remembers(self, text: str) -> bool:
        return self._reader.remembers(text)

    @torch.inference_mode()
    def warm(self, ready: Ready, part: int) -> None:
        """Read one part of the context, so that less is left for `scored`."""
        text = ready.parts[part].text
        self._reader.read([text], keep=frozenset((text,)), cut=ready.cut)

    @torch.inference_mode()
    def scored(self, items: Sequence[Ready]) -> list[Scored]:
        if not items:
            return []
        cases = self._read(items)
        matches = self._matched(cases)
        scores = [self._scored(case, best, where) for case, (best, where) in zip(cases, matches, strict=True)]
        also, told = self._also(cases)
        return [
            replace(one, also=more, signals={**one.signals, **signs}, vectors=case.vectors)
            for case, one, more, signs in zip(cases, scores, also, told, strict=True)
        ]

    def _read(self, items: Sequence[Ready]) -> list[_Case]:
        kept = frozenset(text for one in items for text in (*(p.text for p in one.parts), one.item.question))
        cut = {text: pieces for one in items for text, pieces in one.cut.items()}
        texts = [text for one in items for text in one.texts()]
        read = dict(zip(texts, self._reader.read(texts, keep=kept, cut=cut), strict=True))
        return [
            _Case(
                one.item,
                read[one.item.question],
                read[one.item.answer],
                tuple(read[text] for text in one.item.samples),
                tuple((part, read[part.text]) for part in one.parts),
            )
            for one in items
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
        ground = _Ground.of(case)
        found = [_sentence(case, ground, span, judged, where) for span in sentences(case.answer.text.text)]
        said = tuple(sentence for sentence in found if sentence is not None)
        return Scored(relevance, 1 - told["unsupported"], said, self._head(told), told)

    # What needs no context…

    def _also(self, cases: Sequence[_Case]) -> tuple[list[dict[str, float]], list[Mapping[str, float]]]:
        """Further scores and further signals of each case."""
        told = [dict(uncertainty.signals(case.item.tokens)) for case in cases]
        scores: list[dict[str, float]] = [{} for _ in cases]
        for case, score in zip(cases, scores, strict=True):
            if (sure := uncertainty.confidence(case.item.tokens)) is not None:
                score["confidence"] = sure
        several = [at for at, case in enumerate(cases) if case.samples]
        prompts = [[read.encoding.tokens for read in (cases[at].answer, *cases[at].samples)] for at in several]
        for at, (agreement, entropy) in zip(several, agreements(prompts, self._ops), strict=True):
            scores[at]["consistency"], told[at]["meanings"] = agreement, entropy
        if self._alone:
            self._judge(self._alone, cases, scores)
        self._near(cases, scores, "prompts", lambda near: ("novelty", 1 - near))
        self._near(cases, scores, "attacks", lambda near: ("attack", near))
        return scores, list(told)

    @staticmethod
    def _judge(alone: Alone, cases: Sequence[_Case], scores: Sequence[dict[str, float]]) -> None:
        """Answers are judged for toxicity, questions for injection."""
        for name, part in (("toxicity", "answer"), ("injection", "question")):
            mine = [at for at, case in enumerate(cases) if case.item.alone and len(getattr(case, part).text)]
            if name in alone.names:
                values = alone.of_read(name, [getattr(cases[at], part) for at in mine])
                for at, value in zip(mine, values, strict=True):
                    scores[at][name] = value

    def _near(
        self,
        cases: Sequence[_Case],
        scores: Sequence[dict[str, float]],
        kind: str,
        score: Callable[[float], tuple[str, float]],
    ) -> None:
        """Hold every case's question against its policy's bank of that `kind`."""
        for policy, banks in self._banks.items():
            mine = [at for at, case in enumerate(cases) if case.item.known == policy and len(case.question.text)]
            if kind not in banks or not mine:
                continue
            found = banks[kind].nearest(torch.stack([cases[at].question.encoding.vector for at in mine]))
            for at, near in zip(mine, found or (), strict=found is not None):
                name, value = score(near)
                scores[at][name] = value


@dataclass(frozen=True, slots=True)
class _Ground:
    """A context's sentences, and which one every piece is in."""

    spans: list[tuple[int, int, int]]  # number of the passage, start and end in it
    owners: Tensor

    @classmethod
    def of(cls, case: _Case) -> _Ground:
        spans: list[tuple[int, int, int]] = []
        owners: list[Tensor] = []
        for at, (_, read) in enumerate(case.context):
            owners.append(read.plan.owners + len(spans))
            spans += [(at, start, end) for start, end in read.plan.sentences]
        return cls(spans, torch.cat(owners))


def _known(case: _Case) -> frozenset[str]:
    """The stems of the whole context, also of what was not read."""
    if sum(len(part.text) for part, _ in case.context) < sum(map(len, case.item.context)):
        return known(case.item.context)
    return frozenset().union(*(read.plan.stems for _, read in case.context))


def _sentence(case: _Case, ground: _Ground, span: tuple[int, int], judged: Judged, where: Tensor) -> Sentence | None:
    run = slice(*features.within(case.answer.text.spans, *span))
    if run.start == run.stop:
        return None
    supports, mass = judged.supports[run], judged.mass[run]
    support = features.mean_support(supports, mass)
    return Sentence(
        *span, support, _evidence(case, ground, where[run], supports * mass), features.fired(judged, span, support)
    )


def _evidence(case: _Case, ground: _Ground, where: Tensor, given: Tensor) -> Evidence | None:
    """The sentence of the context that gives most support; the earliest of equals, None where there is no support."""
    votes = torch.zeros(len(ground.spans), dtype=torch.float64)
    votes.index_add_(0, ground.owners[where.long()], given.double().clamp_min(0))
    if not votes.any():
        return None
    at, start, end = ground.spans[int((votes == votes.max()).nonzero()[0])]
    part = case.context[at][0]
    return Evidence(part.source, part.start + start, part.start + end)
