"""The scorer as an engine of the worker harness: `score`, with concurrent calls in one batch.

Spec, all optional: `encoder` (`minilm` or a folder), `sha256` of the folder's weights, `device`, `threads`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import torch

from gateway.errors import WorkerFault
from gateway.scoring import head
from gateway.scoring.batch import Batcher
from gateway.scoring.encoder import Encoder
from gateway.scoring.reader import Reader
from gateway.scoring.scorer import Evidence, Item, Scored, Scorer
from gateway.scoring.similar import Examples, Similar
from gateway.scoring.weights import Weights, load
from kernels.dispatch import Ops, ops

Json = Any

QUESTION = 8_192  # characters of a question that are read
ANSWER = 65_536  # and of an answer: what no model says at once need not hold up the others


def prepare(spec: Json) -> Weights:
    """The encoder's weights, read and checked. Starts no thread and leaves CUDA alone, so that a fork is clean."""
    return load(spec.get("encoder", "minilm"), spec.get("sha256"))


@asynccontextmanager
async def open(spec: Json, prepared: Weights) -> AsyncIterator[Engine]:  # noqa: A001 - the harness's word
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1, "scorer") as executor:
        encoder, scorer = await loop.run_in_executor(executor, _scorer, spec, prepared)
        batcher = Batcher(scorer.score, executor)
        running = asyncio.create_task(batcher.run())
        try:
            yield Engine(batcher, Similar(encoder), executor)
        finally:
            running.cancel()
            await asyncio.wait([running])


def _scorer(spec: Json, weights: Weights) -> tuple[Encoder, Scorer]:
    """On the thread that will score: torch keeps the number of threads by thread. The first pass is for warmth."""
    torch.set_num_threads(spec.get("threads") or max(1, len(os.sched_getaffinity(0)) // 2))
    chosen = ops(spec.get("device"))
    encoder = Encoder(weights, chosen, _dtype(chosen))
    scorer = Scorer(Reader(encoder), chosen, head.load("hallucination"))
    scorer.score([Item("Who?", ("Somebody.",), "Somebody.")])
    return encoder, scorer


def _dtype(chosen: Ops) -> torch.dtype:
    """bfloat16 where matrix units make it worth while."""
    return torch.bfloat16 if chosen.device.type == "cuda" else torch.float32


@dataclass(frozen=True, slots=True)
class Engine:
    batcher: Batcher
    nearness: Similar
    executor: Executor

    async def call(self, method: str, payload: Json) -> Json:
        """`score` takes `{"items": [{"question", "context": [str], "answer"}]}` and gives, in the same order,

        `{"scores": [{"relevance", "groundedness", "hallucination", "signals": {name: number},
        "sentences": [{"start", "end", "support", "evidence", "source"}]}]}`: scores in [0, 1]; `groundedness` and
        `hallucination` null without context; `start` and `end` characters of the answer; `evidence` null or
        `[start, end]`, characters of `context[source]`. Raises `WorkerFault` for any other payload or method.

        `similar` takes `{"texts": [str], "groups": [[str]]}` and gives `{"similar": [[number]]}`: for every text, for
        every group, the cosine with the example that is nearest.
        """
        match method:
            case "score":
                return {"scores": [_json(one) for one in await self.batcher.score(_items(payload))]}
            case "similar":
                loop = asyncio.get_running_loop()
                return {"similar": await loop.run_in_executor(self.executor, self.nearness.similar, *_texts(payload))}
        raise WorkerFault(f"scorer: no method {method!r}")


def _items(payload: Json) -> Sequence[Item]:
    match payload:
        case {"items": [*items]}:
            return [_item(item) for item in items]
    raise WorkerFault("scorer: the payload must have a list of items")


def _texts(payload: Json) -> tuple[Sequence[str], Sequence[Examples]]:
    match payload:
        case {"texts": [_, *_] as texts, "groups": [*groups]} if all(isinstance(text, str) for text in texts):
            if all(isinstance(group, list) and group and all(isinstance(e, str) for e in group) for group in groups):
                return texts, [tuple(group) for group in groups]
    raise WorkerFault("scorer: the payload must have texts, and groups of texts, none of them empty")


def _item(item: Json) -> Item:
    match item:
        case {"question": str(question), "context": [*context], "answer": str(answer)} if all(
            isinstance(part, str) for part in context
        ):
            return Item(question[:QUESTION], tuple(context), answer[:ANSWER])
    raise WorkerFault("scorer: an item must have a question, a list of texts as its context, and an answer")


def _json(scored: Scored) -> Json:
    return {
        "relevance": scored.relevance,
        "groundedness": scored.groundedness,
        "hallucination": scored.hallucination,
        "signals": dict(scored.signals),
        "sentences": [
            {"start": s.start, "end": s.end, "support": s.support, **_place(s.evidence)} for s in scored.sentences
        ],
    }


def _place(evidence: Evidence | None) -> Json:
    if evidence is None:
        return {"evidence": None, "source": None}
    return {"evidence": [evidence.start, evidence.end], "source": evidence.source}
