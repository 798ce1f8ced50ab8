"""Scoring off the path: finished answers wait in a short queue for the scorer; where it is full they are shed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from gateway.errors import WorkerError

QUEUE = 256
"""Answers that may wait. At 20 a second that is a scorer 13 s behind; older scores help nobody."""

BATCH = 16
"""Answers in one call: the scorer encodes them together."""


@dataclass(frozen=True, slots=True)
class Sample:
    """An answer to score: `id` of its exchange, the question it answers, the evidence it had."""

    id: str
    route: str
    upstream: str
    question: str
    context: Sequence[str]
    answer: str

    def item(self) -> dict[str, Any]:
        return {"question": self.question, "context": list(self.context), "answer": self.answer}


class Scorer(Protocol):
    """The scorer's worker."""

    async def call(self, method: str, payload: Any, *, deadline_s: float) -> Any: ...


Recorded = Callable[[Sample, Mapping[str, Any], float], None]
"""What becomes of a sample's scores; the last argument is the seconds they took."""


@dataclass(slots=True)
class Sampler:
    """`shed` answers found the queue full, `failed` ones the scorer."""

    scorer: Scorer
    recorded: Recorded
    deadline_s: float = 5.0
    shed: int = 0
    failed: int = 0
    queue: asyncio.Queue[Sample] = field(default_factory=lambda: asyncio.Queue(QUEUE))

    def offer(self, sample: Sample) -> None:
        """Score `sample` when there is time, or never. Does not wait."""
        try:
            self.queue.put_nowait(sample)
        except asyncio.QueueFull:
            self.shed += 1

    async def run(self) -> None:
        """Score what was offered, for ever. A scorer that fails costs scores, nothing else."""
        while True:
            samples = [await self.queue.get()]
            while len(samples) < BATCH and not self.queue.empty():
                samples.append(self.queue.get_nowait())
            await self._score(samples)
            for _ in samples:
                self.queue.task_done()

    async def _score(self, samples: Sequence[Sample]) -> None:
        began = time.monotonic()
        payload = {"items": [sample.item() for sample in samples]}
        left = list(samples)
        try:
            answer = await self.scorer.call("score", payload, deadline_s=self.deadline_s)
            seconds = (time.monotonic() - began) / len(samples)
            for sample, scores in list(zip(samples, answer["scores"], strict=True)):
                self.recorded(sample, scores, seconds)
                left.remove(sample)
        except (WorkerError, ValueError, LookupError, TypeError, AttributeError):  # none, or not as agreed
            self.failed += len(left)
