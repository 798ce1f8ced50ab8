"""Pairs as word pieces, laid out as the scorer lays them out, in batches of like lengths."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer
from torch import Tensor

from gateway.scoring.grounding import CLAIM, Reading, reading
from gateway.scoring.premises import stems
from gateway.scoring.tokens import pieces
from training.grounding.sets import Pair


@dataclass(frozen=True, slots=True)
class Sample:
    """A pair as it is read: `wrong` says of each piece of the claim whether it is wrong, None where nobody knows."""

    reading: Reading
    wrong: tuple[bool, ...] | None
    unsupported: bool


@dataclass(frozen=True, slots=True)
class Batch:
    """Padded: ids, types, mask [B, L]; claim places and their mask [B, C]; labels [B]; wrong [B, C], -1 unknown."""

    ids: Tensor
    types: Tensor
    mask: Tensor
    claim: Tensor
    said: Tensor
    unsupported: Tensor
    wrong: Tensor


def samples(tokenizer: Tokenizer, pairs: Sequence[Pair], length: int) -> list[Sample]:
    memory: dict[str, tuple[tuple[int, ...], frozenset[str]]] = {}
    parts = list({part: None for pair in pairs for part in pair.context})
    for found in pieces(tokenizer, parts):
        memory[found.text] = (found.ids, stems(found.text))
    return [_sample(tokenizer, pair, memory, length) for pair in pairs]


def _sample(
    tokenizer: Tokenizer, pair: Pair, memory: dict[str, tuple[tuple[int, ...], frozenset[str]]], length: int
) -> Sample:
    claim = pieces(tokenizer, [pair.claim])[0]
    read = reading([memory[part] for part in pair.context], (claim.ids[:CLAIM], stems(pair.claim)), length)
    spans = claim.spans[: read.claim]
    wrong = None
    if pair.spans is not None:
        wrong = tuple(any(a < end and b > start for a, b in pair.spans) for start, end in spans)
    return Sample(read, wrong, pair.unsupported)


def batches(samples: Sequence[Sample], pieces_each: int, seed: int) -> Iterator[Batch]:
    """Every sample once, at most `pieces_each` word pieces a batch with its padding, in an order that `seed` gives."""
    dice = random.Random(seed)  # noqa: S311 - an order, no secret
    order = sorted(range(len(samples)), key=lambda at: (len(samples[at].reading.ids) + dice.random() * 16, at))
    runs: list[list[Sample]] = [[]]
    for at in order:
        if (len(runs[-1]) + 1) * (len(samples[at].reading.ids) + 16) > pieces_each:
            runs.append([])
        runs[-1].append(samples[at])
    dice.shuffle(runs)
    return (padded(run) for run in runs if run)


def padded(run: Sequence[Sample]) -> Batch:
    longest, widest = max(len(s.reading.ids) for s in run), max(s.reading.claim for s in run)
    ids, types = torch.zeros(len(run), longest, dtype=torch.long), torch.zeros(len(run), longest, dtype=torch.long)
    mask, said = torch.zeros(len(run), longest, dtype=torch.bool), torch.zeros(len(run), widest, dtype=torch.bool)
    claim, wrong = torch.zeros(len(run), widest, dtype=torch.long), torch.full((len(run), widest), -1.0)
    for at, sample in enumerate(run):
        size, start = len(sample.reading.ids), sample.reading.start
        ids[at, :size] = torch.tensor(sample.reading.ids)
        types[at, start:size] = 1
        mask[at, :size] = True
        said[at, : sample.reading.claim] = True
        claim[at, : sample.reading.claim] = torch.arange(start, start + sample.reading.claim)
        if sample.wrong is not None:
            wrong[at, : len(sample.wrong)] = torch.tensor(sample.wrong, dtype=torch.float32)
    return Batch(ids, types, mask, claim, said, torch.tensor([float(s.unsupported) for s in run]), wrong)
