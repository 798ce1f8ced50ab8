"""Scoring off the path: finished answers wait in a short queue for the scorer; one that finds it full is shed, counted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from gateway.errors import WorkerError

QUEUE = 256
"""Answers that may wait. At 20 a second that is a scorer 13 s behind; older scores help nobody."""


@dataclass(frozen=True, slots=True)
class Sample:
    """An answer to score: `id` of its exchange, the question it answers, the evidence it had."""

    id: str
    route: str
    upstream: str
    question: str
    context: Sequence[str]
    answer: str


class Scorer(Protocol):
    """The scorer's worker."""

    async def call(self, method: str, payload: Any, *, deadline_s: float) -> Any: ...


Recorded = Callable[[Sample, Mapping[str, Any], float], None]
"""What becomes of a sample's scores; the last argument is the seconds they took."""


@dataclass(slots=True)
class Sampler:
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
        """Score what was offered, one after the other, for ever. A scorer that fails costs scores, nothing else."""
        while True:
            sample = await self.queue.get()
            await self._score(sample)
            self.queue.task_done()

    async def _score(self, sample: Sample) -> None:
        item = {"question": sample.question, "context": list(sample.context), "answer": sample.answer}
        began = time.monotonic()
        try:
            answer = await self.scorer.call("score", {"items": [item]}, deadline_s=self.deadline_s)
        except WorkerError:
            self.failed += 1
        else:
            self.recorded(sample, answer["scores"][0], time.monotonic() - began)
