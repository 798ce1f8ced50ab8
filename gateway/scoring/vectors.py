"""Vectors of prompts and answers, with what is told of their texts, for those who watch: see `gateway.monitor`."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gateway.observe.spool import Record, Spool
from gateway.scoring.scorer import Scored
from gateway.scoring.traits import language, refuses, terms

Json = Any


@dataclass(frozen=True, slots=True)
class Watched:
    """Appends two records for every item that says which exchange it is of. `words` are kept only if asked for."""

    spool: Spool
    words: bool = False

    def put(self, items: Sequence[Json], scored: Sequence[Scored]) -> None:
        self.spool.put(records(items, scored, words=self.words))


def records(items: Sequence[Json], scored: Sequence[Scored], *, words: bool) -> Iterator[Record]:
    """Two of every item that says which exchange it is of."""
    for item, one in zip(items, scored, strict=True):
        if isinstance(item.get("id"), str) and one.vectors:
            yield from _records(item, one.vectors, words=words)


def _records(item: Mapping[str, Any], vectors: tuple[Tensor, Tensor], *, words: bool) -> Iterator[Record]:
    told = {"id": item["id"], "route": item.get("route", ""), "at": time.time()}
    for kind, vector in zip(("prompt", "answer"), vectors, strict=True):
        text = item["question" if kind == "prompt" else "answer"]
        if text:
            yield Record({**told, **traits(kind, text, words=words)}, halves(vector))


def traits(kind: str, text: str, *, words: bool) -> dict[str, Any]:
    """What is told of a `prompt` or an `answer`."""
    told: dict[str, Any] = {"kind": kind, "chars": len(text), "language": language(text)}
    if kind == "answer":
        told["refusal"] = "yes" if refuses(text) else "no"
    return {**told, "words": terms(text)} if words else told


def halves(vector: Tensor) -> bytes:
    """Little-endian float16."""
    whole: bytes = vector.detach().to("cpu", torch.float16).numpy().tobytes()
    return whole


def told(texts: Sequence[str], kind: str, vectors: Sequence[Tensor]) -> list[dict[str, Any]]:
    """As JSON: the vector in base64, and the traits of each text."""
    return [
        {**traits(kind, text, words=True), "vector": base64.b64encode(halves(vector)).decode()}
        for text, vector in zip(texts, vectors, strict=True)
    ]
