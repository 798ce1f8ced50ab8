"""Heads that judge a text on its own: injection, toxicity. An encoding and hashed n-grams to a probability, linearly.

The file is safetensors, float16: `encoding` [3 d], `grams` [BUCKETS] and float32 `bias` [1]; `threshold` is in its
metadata. A text longer than a part is as bad as its worst part.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from gateway.scoring.encoder import Encoder, Encoding
from gateway.scoring.head import FOLDER
from gateway.scoring.head_grams import grams, parts
from gateway.scoring.tokens import pieces

NAMES = ("injection", "toxicity")
MOST = 8  # parts of a text that are encoded: of longer ones those whose n-grams look worst
AT_ONCE = 32  # parts in one pass of the encoder


@dataclass(frozen=True, slots=True)
class Sparse:
    """Parts' n-grams in one row after another: `ids` [n], each of weight `values` [n], of part `rows` [n]."""

    ids: Tensor
    rows: Tensor
    values: Tensor
    count: int

    def dot(self, table: Tensor) -> Tensor:
        """[BUCKETS] weights -> [count] sums."""
        return torch.bincount(self.rows, self.values * table[self.ids], minlength=self.count)


@dataclass(frozen=True, slots=True)
class TextHead:
    """sigmoid(bias + encoding · features + sum of the n-grams' weights / sqrt(their number)).

    From `threshold` on a text counts as bad: where the model card says how few good ones do.
    """

    encoding: Tensor
    grams: Tensor
    bias: float
    threshold: float

    def lexical(self, said: Sparse) -> Tensor:
        """[count]: what the n-grams alone say."""
        return said.dot(self.grams)

    def __call__(self, encodings: Tensor, said: Sparse) -> Tensor:
        """[count, 3 d] and the same parts' n-grams -> [count] probabilities, float64."""
        return torch.sigmoid(encodings.double() @ self.encoding + self.lexical(said) + self.bias)


def sparse(texts: Sequence[str]) -> Sparse:
    """The n-grams of texts, each text a vector of length one."""
    found = [grams(text) for text in texts]
    counts = torch.tensor([len(ids) for ids in found], dtype=torch.int64)
    rows = torch.repeat_interleave(torch.arange(len(found)), counts)
    values = counts.clamp_min(1).double().rsqrt()[rows]
    return Sparse(torch.cat([torch.empty(0, dtype=torch.int64), *found]), rows, values, len(found))


def summary(encoding: Encoding) -> Tensor:
    """[3 d] float32 on the CPU: the text's vector, and the mean and the maximum of its tokens, each of length one."""
    tokens = encoding.tokens.float()
    if not len(tokens):
        return torch.zeros(3 * encoding.vector.shape[0])
    seen = torch.stack([encoding.vector.float(), tokens.mean(0), tokens.amax(0)])
    return functional.normalize(seen).flatten().cpu()


class Heads:
    """A pure function of the encoder, the heads and the texts. Not for use by two threads at once."""

    def __init__(self, encoder: Encoder, heads: Mapping[str, TextHead]) -> None:
        self._encoder = encoder
        self._heads = heads

    @torch.inference_mode()
    def classify(self, texts: Sequence[str], names: Collection[str] = NAMES) -> dict[str, list[float]]:
        """By head, one probability a text. Raises `KeyError` for a head that there is not."""
        heads = {name: self._heads[name] for name in names}
        chosen = [self._worst(text, list(heads.values())) for text in texts]
        flat = [part for parts in chosen for part in parts]
        encodings, said = self.encoded(flat), sparse(flat)
        lengths = [len(parts) for parts in chosen]
        return {name: _peaks(head(encodings, said), lengths) for name, head in heads.items()}

    @torch.inference_mode()
    def encoded(self, texts: Sequence[str]) -> Tensor:
        """[n, 3 d], a summary a part."""
        runs = [texts[at : at + AT_ONCE] for at in range(0, len(texts), AT_ONCE)]
        tokenizer = self._encoder.tokenizer
        rows = [summary(one) for run in runs for one in self._encoder.encode(pieces(tokenizer, run))]
        return torch.stack(rows) if rows else torch.zeros(0, 3 * self._encoder.shape.width)

    def _worst(self, text: str, heads: Sequence[TextHead]) -> list[str]:
        found = parts(text)
        if len(found) <= MOST or not heads:
            return found[:MOST]
        said = sparse(found)
        worst = torch.stack([head.lexical(said) + head.bias for head in heads]).amax(0)
        return [found[at] for at in sorted(worst.topk(MOST).indices.tolist())]


def _peaks(values: Tensor, lengths: Sequence[int]) -> list[float]:
    return [float(part.max()) for part in torch.split(values, list(lengths))]


def load(name: str, folder: Path = FOLDER) -> TextHead:
    """The head `name` of `folder`. Raises `FileNotFoundError` where there is none."""
    with safe_open(folder / f"{name}.safetensors", "pt") as file:
        encoding, table, bias = (file.get_tensor(part).double() for part in ("encoding", "grams", "bias"))
        return TextHead(encoding, table, float(bias.item()), float(file.metadata()["threshold"]))


def save(head: TextHead, file: Path) -> None:
    tensors = {"encoding": head.encoding.half(), "grams": head.grams.half(), "bias": torch.tensor([head.bias])}
    save_file(tensors, file, metadata={"threshold": repr(head.threshold)})
