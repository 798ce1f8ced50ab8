"""A trained cross-encoder: whether a claim follows from sentences, both read together.

A word piece of the claim has a logit for being wrong; the claim's is their soft maximum and the pair's own. So one
changed word is enough. The upper layers and the two vectors are the model's; all below is the scorer's own encoder.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import load
from torch import Tensor

from gateway.scoring.encoder import Encoder
from gateway.scoring.head import FOLDER
from gateway.scoring.premises import premises, stems
from gateway.scoring.tokens import pieces
from gateway.scoring.weights import Weights
from gateway.wire.sentences import sentences
from kernels.dispatch import Ops

LENGTH = 160  # word pieces of a pair, as in training
CLAIM = 96  # word pieces of a claim that are read
AT_ONCE = 64  # pairs in one pass

Part = tuple[tuple[int, ...], frozenset[str]]  # a sentence's word pieces, and the stems of its content words


@dataclass(frozen=True, slots=True)
class Reading:
    """What the encoder reads; the claim's `claim` pieces begin at `start` of `ids`, specials included."""

    ids: tuple[int, ...]
    start: int
    claim: int


def reading(context: Sequence[Part], claim: Part, length: int, specials: tuple[int, int] = (101, 102)) -> Reading:
    """`[CLS] sentences of the context [SEP] claim [SEP]`, `length` pieces at most; the sentences as `premises` says."""
    first, last = specials
    said = claim[0][:CLAIM]
    room = length - 3 - len(said)
    chosen = premises([stems for _, stems in context], [len(ids) for ids, _ in context], claim[1], room)
    read = [piece for at in chosen for piece in context[at][0]]
    if not read and context:
        read = list(context[0][0][:room])  # every sentence is longer than the room
    return Reading((first, *read, last, *said, last), len(read) + 2, len(said))


@dataclass(frozen=True, slots=True)
class Trained:
    """What was trained: `tensors` in the place of the encoder's, a logit a piece by `piece`, one a pair by `pair`."""

    tensors: Mapping[str, Tensor]
    piece: Tensor
    pair: Tensor
    bias: tuple[float, float]
    length: int


class Grounding:
    """Not for use before a fork, as the encoder. `weights` are those of the encoder that `trained` was made from."""

    def __init__(self, weights: Weights, trained: Trained, ops: Ops, dtype: torch.dtype = torch.float32) -> None:
        self._encoder = Encoder(replace(weights, tensors={**weights.tensors, **trained.tensors}), ops, dtype)
        self._trained = trained
        self._device = ops.device

    def support(self, context: Sequence[str], claims: Sequence[str]) -> list[float]:
        """For every claim, in [0, 1], the probability that the texts of `context` support it; 0 without any text."""
        if not any(text.strip() for text in context):
            return [0.0 for _ in claims]
        return [1 - p for p in torch.sigmoid(torch.tensor(self.doubts(context, claims))).tolist()]

    @torch.inference_mode()
    def doubts(self, context: Sequence[str], claims: Sequence[str]) -> list[float]:
        """For every claim the logit that it is unsupported. What is no word piece is not doubted (-30)."""
        parts = self._parts([text[a:b] for text in context for a, b in sentences(text)])
        read = [reading(parts, claim, self._trained.length) for claim in self._parts(claims)]
        order = sorted(range(len(read)), key=lambda at: len(read[at].ids))
        found = [0.0] * len(read)
        for first in range(0, len(order), AT_ONCE):
            run = order[first : first + AT_ONCE]
            for at, doubt in zip(run, self._doubts([read[at] for at in run]), strict=True):
                found[at] = doubt if read[at].claim else -30.0
        return found

    def _parts(self, texts: Sequence[str]) -> list[Part]:
        return [(cut.ids, stems(cut.text)) for cut in pieces(self._encoder.tokenizer, list(texts))]

    def _doubts(self, read: Sequence[Reading]) -> list[float]:
        lengths = [len(one.ids) for one in read]
        ids = torch.tensor([piece for one in read for piece in one.ids], device=self._device)
        second = torch.cat([torch.arange(len(one.ids)) >= one.start for one in read]).to(self._device)
        _, last = self._encoder.forward(ids, lengths, second)
        own, shift = self._trained.bias
        logits = (last.float() @ self._trained.piece.to(self._device) + own).cpu()
        starts = [sum(lengths[:at]) for at in range(len(lengths))]
        pair = (last[starts].float() @ self._trained.pair.to(self._device) + shift).tolist()
        return [
            float(logits[first + one.start : first + one.start + one.claim].logsumexp(0)) + whole
            for first, one, whole in zip(starts, read, pair, strict=True)
        ]


# The file: rows of matrices as int8 with a scale, all else as it is…


def read(file: Path = FOLDER / "grounding.safetensors", sha256: str | None = None) -> Trained:
    """What `written` made. Raises `FileNotFoundError` without a file, `ValueError` for another digest."""
    data = file.read_bytes()
    if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
        raise ValueError(f"{file}: its SHA-256 is not {sha256}")
    size = int.from_bytes(data[:8], "little")
    length = int(json.loads(data[8 : 8 + size])["__metadata__"]["length"])
    tensors = load(data)
    scales = {name.removesuffix("#scale"): tensors.pop(name) for name in list(tensors) if name.endswith("#scale")}
    plain = {name: t.float() * scales[name][:, None] if name in scales else t for name, t in tensors.items()}
    own, shift = plain.pop("head.bias").tolist()
    return Trained(plain, plain.pop("head.piece"), plain.pop("head.pair"), (own, shift), length)


def written(trained: Trained) -> dict[str, Tensor]:
    """The tensors of its file: int8 by rows for matrices, beside the float32 scale of each row."""
    out = {"head.piece": trained.piece, "head.pair": trained.pair, "head.bias": torch.tensor(trained.bias)}
    for name, tensor in trained.tensors.items():
        if tensor.ndim < 2:
            out[name] = tensor.float().contiguous()
            continue
        scale = tensor.float().abs().amax(1).clamp_min(1e-12) / 127
        out[name] = (tensor.float() / scale[:, None]).round().to(torch.int8)
        out[f"{name}#scale"] = scale
    return out
