"""The scorer as an engine of the worker harness: `score`, with concurrent calls in one batch.

Spec, all optional: `encoder` (`minilm` or a folder), `sha256` of the folder's weights, `device`, `threads`, `budget_s`
of a batch, `banks` of known texts (`{policy: {kind: {"path": file}}}`), `watched` (`{"path": file, "words": bool}`), a
spool for the vectors of scored items that have an `id`; `verifier`, a cross-encoder's folder, and its `verifier_label`.
"""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from gateway.errors import WorkerFault
from gateway.observe.spool import Spool
from gateway.scoring import head
from gateway.scoring.alone import Alone, shipped
from gateway.scoring.bank import Bank, Banks, texts
from gateway.scoring.batch import BUDGET_S, Batcher, Lane
from gateway.scoring.encoder import Encoder
from gateway.scoring.reader import Reader
from gateway.scoring.scorer import Evidence, Item, Scored, Scorer
from gateway.scoring.similar import Examples, Similar
from gateway.scoring.vectors import Watched, records, told
from gateway.scoring.weights import Weights, load
from kernels.dispatch import Ops, ops

Json = Any

QUESTION = 8_192  # characters of a question that are read
ANSWER = 65_536  # and of an answer: what no model says at once need not hold up the others
SAMPLES = 63  # answers that one is compared with
TOKENS = 16_384  # whose log-probabilities are looked at


def prepare(spec: Json) -> Weights:
    """The encoder's weights, read and checked. Starts no thread and leaves CUDA alone, so that a fork is clean."""
    return load(spec.get("encoder", "minilm"), spec.get("sha256"))


@asynccontextmanager
async def open(spec: Json, prepared: Weights) -> AsyncIterator[Engine]:  # noqa: A001 - the harness's word
    loop = asyncio.get_running_loop()
    with (
        ThreadPoolExecutor(1, "scorer") as executor,
        ThreadPoolExecutor(1, "cutter") as cutter,
        ThreadPoolExecutor(1, "verifier") as slow,
    ):
        second = await loop.run_in_executor(slow, _second, spec, slow)
        parts = await loop.run_in_executor(executor, _parts, spec, prepared)
        batcher = Batcher(parts.scorer, executor, cutter, spec.get("budget_s", BUDGET_S))
        tasks = [asyncio.create_task(batcher.run()), asyncio.create_task(_filled(parts.banks, executor))]
        try:
            yield Engine(batcher, Similar(parts.encoder), executor, parts.alone, _watched(spec.get("watched")), second)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


@dataclass(frozen=True, slots=True)
class _Parts:
    encoder: Encoder
    scorer: Scorer
    banks: Banks
    alone: Alone


def _parts(spec: Json, weights: Weights) -> _Parts:
    """On the thread that will score: torch keeps the number of threads by thread. The first pass is for warmth."""
    torch.set_num_threads(spec.get("threads") or max(1, len(os.sched_getaffinity(0)) // 2))
    chosen = ops(spec.get("device"))
    encoder = Encoder(weights, chosen, _dtype(chosen))
    banks = {
        policy: {kind: Bank(texts(Path(file["path"])), encoder, chosen) for kind, file in files.items()}
        for policy, files in spec.get("banks", {}).items()
    }
    alone = Alone(encoder, shipped())
    scorer = Scorer(Reader(encoder), chosen, head.load("hallucination"), banks, alone)
    scorer.score([Item("Who?", ("Somebody.",), "Somebody.")])
    return _Parts(encoder, scorer, banks, alone)


async def _filled(banks: Banks, executor: Executor) -> None:
    """Encode what is known already, a little at a time: calls that come meanwhile are scored in between."""
    loop = asyncio.get_running_loop()
    for bank in [bank for kinds in banks.values() for bank in kinds.values()]:
        while await loop.run_in_executor(executor, bank.fill):
            pass


@dataclass(frozen=True, slots=True)
class Second:
    """A verifier on a thread of its own: a large model's seconds are not the scorer's."""

    verifier: Any  # a `verifier.Verifier`, whose module is imported only where there is one
    executor: Executor

    async def judge(self, items: Sequence[Json], said: Sequence[Json]) -> None:
        """Add `verified` to what was `said` of those items that ask for it, and to each of their sentences."""
        loop = asyncio.get_running_loop()
        for item, one in zip(items, said, strict=True):
            if item.get("verify") and one["sentences"]:
                texts = [item["answer"][s["start"] : s["end"]] for s in one["sentences"]]
                found = await loop.run_in_executor(self.executor, self.verifier.supports, item["context"], texts)
                for sentence, value in zip(one["sentences"], found, strict=True):
                    sentence["verified"] = value
                one["verified"] = min(found)
            elif item.get("verify"):
                one["verified"] = None


def _second(spec: Json, executor: Executor) -> Second | None:
    if not spec.get("verifier"):
        return None
    from gateway.scoring.verifier import Verifier  # noqa: PLC0415 - transformers, for those who have a verifier

    torch.set_num_threads(spec.get("threads") or max(1, len(os.sched_getaffinity(0)) // 2))
    return Second(Verifier(Path(spec["verifier"]), spec.get("verifier_label")), executor)


def _watched(spec: Json) -> Watched | None:
    return None if spec is None else Watched(Spool(Path(spec["path"])), words=spec["words"])


def _dtype(chosen: Ops) -> torch.dtype:
    """bfloat16 where matrix units make it worth while: on a GPU, and on CPUs that multiply it (AVX-512 BF16, AMX)."""
    able = torch.cpu.get_capabilities()
    fast = chosen.device.type == "cuda" or able.get("amx_bf16") or able.get("avx512_bf16")
    return torch.bfloat16 if fast else torch.float32


@dataclass(frozen=True, slots=True)
class Engine:
    batcher: Batcher
    nearness: Similar
    executor: Executor
    alone: Alone
    watched: Watched | None = None
    second: Second | None = None

    async def call(self, method: str, payload: Json) -> Json:
        """`score` takes `{"items": [{"question", "context": [str], "answer"}], "lane"}` and gives, in the same order,

        `{"scores": [{"relevance", "groundedness", "hallucination", …, "signals": {name: number},
        "sentences": [{"start", "end", "support", "evidence", "source", "fired": [str]}]}]}`: scores in [0, 1];
        `groundedness` and `hallucination` null without context; `start` and `end` characters of the answer; `evidence`
        null or `[start, end]`, characters of `context[source]`. Raises `WorkerFault` for any other payload or method.

        An item may have `samples` [str], other answers to the same prompt, for `consistency`; `tokens`
        [[chosen, top, …]] of log-probabilities, for `confidence`; `known`, a policy's name, for `novelty` and `attack`.
        With `alone` there are `toxicity` of the answer and `injection` of the question.
        With `watched` (`{"words": bool}`) of the payload there are `records` beside the scores, as the spool has them:
        `[[head, body in base64]]`.
        With `verify` and a verifier there is `verified`, the least of its sentences', null without any.
        `lane` is `inline` (left out) where somebody waits, or `later`, which is put off and may raise `WorkerBusy`.

        `classify` takes `{"texts": [str], "heads": [name]}`, names of `head_text.NAMES`, and gives
        `{"scores": {name: [number]}}`: for every text, however long, a probability.

        `similar` takes `{"texts": [str], "groups": [[str]]}` and gives `{"similar": [[number]]}`: for every text, for
        every group, the cosine with the example that is nearest.

        `vectors` takes `{"texts": [str], "kind"}`, a `prompt` or an `answer`, and gives `{"vectors": [{"vector", …}]}`:
        float16 in base64, and what `gateway.scoring.vectors` tells of each text.
        """
        match method:
            case "score":
                scored = await self.batcher.score(_items(payload), _lane(payload))
                if self.watched:
                    self.watched.put(payload["items"], scored)
                said = [_json(one) for one in scored]
                if self.second:
                    await self.second.judge(payload["items"], said)
                return {"scores": said, **_recorded(payload, scored)}
            case "classify":
                return {"scores": await self._classified(payload)}
            case "similar":
                loop = asyncio.get_running_loop()
                return {"similar": await loop.run_in_executor(self.executor, self.nearness.similar, *_texts(payload))}
            case "vectors":
                loop = asyncio.get_running_loop()
                texts, _ = _texts({**payload, "groups": []})
                found = await loop.run_in_executor(self.executor, self.nearness.vectors, texts)
                return {"vectors": told(texts, payload.get("kind", "prompt"), list(found))}
        raise WorkerFault(f"scorer: no method {method!r}")

    async def _classified(self, payload: Json) -> dict[str, list[float]]:
        texts, names = _texts({**payload, "groups": []})[0], payload.get("heads", ())
        for name in names:
            if name not in self.alone.names:
                raise WorkerFault(f"scorer: there is no head {name!r}")
        if not names:
            return {}
        return await asyncio.get_running_loop().run_in_executor(self.executor, self.alone.classify, texts, names)


def _recorded(payload: Json, scored: Sequence[Scored]) -> dict[str, Json]:
    """For a gateway elsewhere, which keeps the spool itself."""
    match payload.get("watched"):
        case {"words": bool(words)}:
            found = records(payload["items"], scored, words=words)
            return {"records": [[record.head, base64.b64encode(record.body).decode()] for record in found]}
    return {}


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


def _lane(payload: Json) -> Lane:
    return "later" if payload.get("lane") == "later" else "inline"


def _item(item: Json) -> Item:
    match item:
        case {"question": str(question), "context": [*context], "answer": str(answer)} if _strings(context):
            samples, tokens, known = item.get("samples", []), item.get("tokens", []), item.get("known", "")
            if isinstance(samples, list) and _strings(samples) and _tokens(tokens) and isinstance(known, str):
                others = tuple(sample[:ANSWER] for sample in samples[:SAMPLES])
                sure = tuple(tuple(map(float, token)) for token in tokens[:TOKENS])
                said = question[:QUESTION], tuple(context), answer[:ANSWER]
                return Item(*said, others, sure, known, alone=item.get("alone") is True)
    raise WorkerFault("scorer: an item must have a question, a list of texts as its context, and an answer")


def _strings(values: Sequence[Json]) -> bool:
    return all(isinstance(value, str) for value in values)


def _tokens(values: Json) -> bool:
    return isinstance(values, list) and all(
        isinstance(token, list) and token and all(isinstance(value, float | int) for value in token) for token in values
    )


def _json(scored: Scored) -> Json:
    return {
        "relevance": scored.relevance,
        "groundedness": scored.groundedness,
        "hallucination": scored.hallucination,
        **scored.also,
        "signals": dict(scored.signals),
        "sentences": [
            {"start": s.start, "end": s.end, "support": s.support, **_place(s.evidence), "fired": list(s.fired)}
            for s in scored.sentences
        ],
    }


def _place(evidence: Evidence | None) -> Json:
    if evidence is None:
        return {"evidence": None, "source": None}
    return {"evidence": [evidence.start, evidence.end], "source": evidence.source}
