"""Scoring off the path: finished answers wait in a short queue for the scorer; where it is full they are shed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from gateway.errors import WorkerBusy, WorkerError

QUEUE = 256
"""Answers that may wait. At 20 a second that is a scorer 13 s behind; older scores help nobody."""

BATCH = 16
"""Answers in one call: the scorer encodes them together."""

SIZE = 131_072
"""Characters in one call, but for a single answer's: to write and read them takes an HTTP process 0.1 ms or so."""


@dataclass(frozen=True, slots=True)
class Sample:
    """An answer to score: `id` of its exchange, the question it answers, the evidence it had.

    `samples` are the other choices, `tokens` log-probabilities, `known` the policy whose known texts count.
    """

    id: str
    route: str
    upstream: str
    question: str
    context: Sequence[str]
    answer: str
    samples: Sequence[str] = ()
    tokens: Sequence[Sequence[float]] = ()
    known: str = ""

    @property
    def size(self) -> int:
        """Characters."""
        texts = (self.question, self.answer, *self.context, *self.samples)
        return sum(map(len, texts)) + 8 * sum(map(len, self.tokens))

    def item(self) -> dict[str, Any]:
        said = {"question": self.question, "context": list(self.context), "answer": self.answer}
        more = {"samples": list(self.samples), "tokens": self.tokens, "known": self.known}
        told = {name: value for name, value in more.items() if value}
        return {**said, **told, "verify": True, "alone": True, "id": self.id, "route": self.route}


class Scorer(Protocol):
    """The scorer's worker."""

    async def call(self, method: str, payload: Any, *, deadline_s: float) -> Any: ...


Recorded = Callable[[Sample, Mapping[str, Any], float], None]
"""What becomes of a sample's scores; the last argument is the seconds they took."""


@dataclass(slots=True)
class Sampler:
    """`shed` answers found the queue full, here or at the scorer; `failed` ones lost the scorer, or its deadline.

    `lost` is told of both, in these words, with their number.
    """

    scorer: Scorer
    recorded: Recorded
    deadline_s: float = 5.0
    lost: Callable[[str, int], None] = lambda _why, _count: None
    shed: int = 0
    failed: int = 0
    queue: asyncio.Queue[Sample] = field(default_factory=lambda: asyncio.Queue(QUEUE))

    def offer(self, sample: Sample) -> None:
        """Score `sample` when there is time, or never. Does not wait."""
        try:
            self.queue.put_nowait(sample)
        except asyncio.QueueFull:
            self._lose("shed", 1)

    async def run(self) -> None:
        """Score what was offered, for ever. A scorer that fails costs scores, nothing else."""
        held: Sample | None = None
        while True:
            samples, held = await self._taken(held)
            await self._score(samples)
            for _ in samples:
                self.queue.task_done()

    async def _taken(self, held: Sample | None) -> tuple[list[Sample], Sample | None]:
        """The next call's samples, `held` first, and one that found no room in it."""
        samples = [held or await self.queue.get()]
        size = samples[0].size
        while len(samples) < BATCH and not self.queue.empty():
            sample = self.queue.get_nowait()
            size += sample.size
            if size > SIZE:
                return samples, sample
            samples.append(sample)
        return samples, None

    async def _score(self, samples: Sequence[Sample]) -> None:
        began = time.monotonic()
        payload = {"items": [sample.item() for sample in samples], "lane": "later"}
        left = list(samples)
        try:
            answer = await self.scorer.call("score", payload, deadline_s=self.deadline_s)
            seconds = (time.monotonic() - began) / len(samples)
            for sample, scores in list(zip(samples, answer["scores"], strict=True)):
                self.recorded(sample, scores, seconds)
                left.remove(sample)
        except WorkerBusy:
            self._lose("shed", len(left))
        except (WorkerError, ValueError, LookupError, TypeError, AttributeError):  # none, or not as agreed
            self._lose("failed", len(left))

    def _lose(self, why: Literal["shed", "failed"], count: int) -> None:
        if why == "shed":
            self.shed += count
        else:
            self.failed += count
        self.lost(why, count)
