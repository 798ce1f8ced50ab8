"""The BERT forward pass over packed windows, in plain torch: no padding, no mask, every matrix product over all tokens.

Two things are kept of it: the last layer, from which a text's vector is pooled, and a middle layer, whose tokens still
say what they are and not only what the passage is about (at two thirds, idf-weighted MaxSim told grounded answers apart
best).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from gateway.scoring.tokens import Pieces, windows
from gateway.scoring.weights import Weights


@dataclass(frozen=True, slots=True)
class Encoding:
    """`tokens` [n, d], one unit vector a word piece; `vector` [d], the text's own unit vector (zero for no text)."""

    tokens: Tensor
    vector: Tensor


@dataclass(frozen=True, slots=True)
class _Linear:
    weight: Tensor
    bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight, self.bias)


@dataclass(frozen=True, slots=True)
class _Norm:
    weight: Tensor
    bias: Tensor
    epsilon: float

    def __call__(self, x: Tensor) -> Tensor:
        return functional.layer_norm(x, self.weight.shape, self.weight, self.bias, self.epsilon)


@dataclass(frozen=True, slots=True)
class _Layer:
    qkv: _Linear
    out: _Linear
    after_attention: _Norm
    up: _Linear
    down: _Linear
    after_mlp: _Norm
    heads: int

    def __call__(self, x: Tensor, lengths: Sequence[int]) -> Tensor:
        x = self.after_attention(x + self.out(self._attended(self.qkv(x), lengths)))
        return self.after_mlp(x + self.down(functional.gelu(self.up(x))))

    def _attended(self, qkv: Tensor, lengths: Sequence[int]) -> Tensor:
        heads = qkv.view(len(qkv), 3, self.heads, -1).permute(1, 2, 0, 3)  # [3, heads, tokens, head width]
        parts = [functional.scaled_dot_product_attention(*part) for part in torch.split(heads, list(lengths), dim=2)]
        return torch.cat(parts, dim=1).transpose(0, 1).flatten(1)


class Encoder:
    """Texts to vectors, on one device. `encode` is a pure function of the weights and the text.

    Not for use before a fork: laying out the weights starts torch's threads.
    """

    def __init__(self, weights: Weights, device: torch.device | str = "cpu") -> None:
        self.shape = weights.shape
        self.tokenizer = weights.tokenizer
        self._tensors = {name: tensor.to(device) for name, tensor in weights.tensors.items()}
        self._layers = [self._layer(f"encoder.layer.{i}.") for i in range(self.shape.layers)]
        self._norm = self._normed("embeddings.LayerNorm")
        self._first, self._last = (self.tokenizer.token_to_id(special) for special in ("[CLS]", "[SEP]"))
        self.device = torch.device(device)

    @torch.inference_mode()
    def encode(self, texts: Sequence[Pieces]) -> list[Encoding]:
        """One encoding per text, whatever its length: windows are read independently and put together again."""
        runs = [(text, *run) for text in texts for run in windows(text, self.shape.window - 2)]
        if not runs:
            return [self._together([], []) for _ in texts]
        lengths = [end - start + 2 for _, start, end in runs]
        ids = [at for text, start, end in runs for at in (self._first, *text.ids[start:end], self._last)]
        middle, last = self.forward(torch.tensor(ids, device=self.device), lengths)
        tokens = torch.split(functional.normalize(middle, dim=1), lengths)
        sums = [self._pooled(window) for window in torch.split(last, lengths)]
        counts = [len(windows(text, self.shape.window - 2)) for text in texts]
        return [
            self._together(list(tokens[start : start + n]), sums[start : start + n])
            for start, n in zip(_starts(counts), counts, strict=True)
        ]

    def forward(self, ids: Tensor, lengths: Sequence[int]) -> tuple[Tensor, Tensor]:
        """`(middle, last)` hidden states [tokens, d] of packed windows, whose `lengths` include the specials."""
        x = self._embedded(ids, lengths)
        middle = x
        for number, layer in enumerate(self._layers, 1):
            x = layer(x, lengths)
            if number == round(len(self._layers) * 2 / 3):
                middle = x
        return middle, x

    def _embedded(self, ids: Tensor, lengths: Sequence[int]) -> Tensor:
        places = torch.cat([torch.arange(n, device=ids.device) for n in lengths])
        table = self._tensors
        return self._norm(
            table["embeddings.word_embeddings.weight"][ids]
            + table["embeddings.position_embeddings.weight"][places]
            + table["embeddings.token_type_embeddings.weight"][0]
        )

    def _pooled(self, window: Tensor) -> Tensor:
        """The window's weight in its text's vector is its length, as if it had been read at once."""
        return window.sum(0) if self.shape.pooling == "mean" else window[0] * len(window)

    def _together(self, tokens: list[Tensor], sums: list[Tensor]) -> Encoding:
        if not tokens:
            empty = torch.zeros(1, self.shape.width, device=self.device)
            return Encoding(empty[:0], empty[0])
        return Encoding(
            torch.cat([window[1:-1] for window in tokens]), functional.normalize(torch.stack(sums).sum(0), dim=0)
        )

    # Laying out the weights…

    def _layer(self, prefix: str) -> _Layer:
        qkv = [self._linear(f"{prefix}attention.self.{name}") for name in ("query", "key", "value")]
        return _Layer(
            qkv=_Linear(torch.cat([part.weight for part in qkv]), torch.cat([part.bias for part in qkv])),
            out=self._linear(f"{prefix}attention.output.dense"),
            after_attention=self._normed(f"{prefix}attention.output.LayerNorm"),
            up=self._linear(f"{prefix}intermediate.dense"),
            down=self._linear(f"{prefix}output.dense"),
            after_mlp=self._normed(f"{prefix}output.LayerNorm"),
            heads=self.shape.heads,
        )

    def _linear(self, name: str) -> _Linear:
        return _Linear(self._tensors[f"{name}.weight"], self._tensors[f"{name}.bias"])

    def _normed(self, name: str) -> _Norm:
        return _Norm(self._tensors[f"{name}.weight"], self._tensors[f"{name}.bias"], self.shape.epsilon)


def _starts(counts: Sequence[int]) -> list[int]:
    return [sum(counts[:i]) for i in range(len(counts))]
