"""The BERT forward pass over packed windows: no padding, no mask, every matrix product over all tokens at once.

Two things are kept of it: the last layer, from which a text's vector is pooled, and a middle layer, whose tokens still
say what they are and not only what the passage is about (at two thirds, idf-weighted MaxSim told grounded answers apart
best).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import torch
from torch import Tensor
from torch.nn import functional

from gateway.scoring.tokens import Pieces, windows
from gateway.scoring.weights import Weights
from kernels.dispatch import Ops
from kernels.residual_norm import Norm
from kernels.tile import packed


@dataclass(frozen=True, slots=True)
class Encoding:
    """`tokens` [n, d], one unit vector a word piece; `vector` [d], the text's own unit vector (zero for no text)."""

    tokens: Tensor
    vector: Tensor


@dataclass(frozen=True, slots=True)
class _Layer:
    """One block's weights; biases go with the fused op that follows the product."""

    qkv: Tensor
    qkv_bias: Tensor
    out: Tensor
    out_bias: Tensor
    after_attention: Norm
    up: Tensor
    up_bias: Tensor
    down: Tensor
    down_bias: Tensor
    after_mlp: Norm


class Encoder:
    """Texts to vectors, on the device of `ops`. `encode` is a pure function of the weights and the text.

    Not for use before a fork: laying out the weights starts torch's threads.
    """

    def __init__(self, weights: Weights, ops: Ops, dtype: torch.dtype = torch.float32) -> None:
        self.shape = weights.shape
        self.tokenizer = weights.tokenizer
        self.dtype = dtype
        self._ops = ops
        self._tensors = {
            name: tensor.to(ops.device, dtype) for name, tensor in weights.tensors.items() if tensor.is_floating_point()
        }
        self._layers = [self._layer(f"encoder.layer.{i}.") for i in range(self.shape.layers)]
        self._first, self._last = (self.tokenizer.token_to_id(special) for special in ("[CLS]", "[SEP]"))

    @torch.inference_mode()
    def encode(self, texts: Sequence[Pieces]) -> list[Encoding]:
        """One encoding per text, whatever its length: windows are read apart and pooled as one."""
        runs = [(text, *run) for text in texts for run in windows(text, self.shape.window - 2)]
        lengths = [end - start + 2 for _, start, end in runs]
        if not runs:
            return [Encoding(*self._nothing()) for _ in texts]
        ids = [at for text, start, end in runs for at in (self._first, *text.ids[start:end], self._last)]
        middle, last = self.forward(torch.tensor(ids, device=self._ops.device), lengths)
        _, tokens = self._ops.pool_norm(middle, packed(lengths, self._ops.device), tokens=True)
        assert tokens is not None  # noqa: S101 - they were asked for
        real = torch.ones(len(ids), dtype=torch.bool)
        real[[at for first, end in pairwise(accumulate(lengths, initial=0)) for at in (first, end - 1)]] = False
        sizes = [len(text) + 2 * len(windows(text, self.shape.window - 2)) for text in texts]
        weights = None if self.shape.pooling == "mean" else self._of_first(lengths)
        vectors, _ = self._ops.pool_norm(last, packed(sizes, self._ops.device), weights)
        kept = torch.split(tokens[real.to(tokens.device)], [len(text) for text in texts])
        return [Encoding(rows, vector) for rows, vector in zip(kept, vectors, strict=True)]

    def forward(self, ids: Tensor, lengths: Sequence[int], second: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """`(middle, last)` hidden states [tokens, d] of packed windows, whose `lengths` include the specials.

        `second` [tokens] is true for pieces of a pair's second text.
        """
        x = self._embedded(ids, lengths, second)
        ends, longest, middle = packed(list(lengths), ids.device), max(lengths, default=0), x
        for number, layer in enumerate(self._layers, 1):
            x = self._block(layer, x, ends, longest)
            if number == round(len(self._layers) * 2 / 3):
                middle = x
        return middle, x

    def _embedded(self, ids: Tensor, lengths: Sequence[int], second: Tensor | None) -> Tensor:
        places = torch.cat([torch.arange(n) for n in lengths]).to(ids.device)
        table = self._tensors
        words, types = (table[f"embeddings.{kind}_embeddings.weight"] for kind in ("word", "token_type"))
        return self._ops.residual_norm(
            words[ids] if second is None else words[ids] + second[:, None] * (types[1] - types[0]),
            types[0],
            table["embeddings.position_embeddings.weight"][places],
            self._norm("embeddings.LayerNorm"),
        )

    def _block(self, layer: _Layer, x: Tensor, ends: Tensor, longest: int) -> Tensor:
        qkv = functional.linear(x, layer.qkv, layer.qkv_bias).view(len(x), 3, self.shape.heads, -1)
        seen = functional.linear(self._ops.varlen_attention(qkv, ends, longest=longest), layer.out)
        x = self._ops.residual_norm(seen, layer.out_bias, x, layer.after_attention)
        wide = self._ops.bias_gelu(functional.linear(x, layer.up), layer.up_bias)
        return self._ops.residual_norm(functional.linear(wide, layer.down), layer.down_bias, x, layer.after_mlp)

    def _of_first(self, lengths: Sequence[int]) -> Tensor:
        """[CLS] alone counts, by the length of its window: as if the text had been read at once."""
        weights = torch.zeros(sum(lengths))
        weights[[0, *accumulate(lengths[:-1])]] = torch.tensor(lengths, dtype=torch.float32)
        return weights.to(self._ops.device)

    def _nothing(self) -> tuple[Tensor, Tensor]:
        empty = torch.zeros(1, self.shape.width, device=self._ops.device, dtype=self.dtype)
        return empty[:0], empty[0]

    # Laying out the weights…

    def _layer(self, prefix: str) -> _Layer:
        table = self._tensors
        names = [f"{prefix}attention.self.{part}" for part in ("query", "key", "value")]
        out, up, down = (f"{prefix}{part}.dense" for part in ("attention.output", "intermediate", "output"))
        return _Layer(
            qkv=torch.cat([table[f"{name}.weight"] for name in names]),
            qkv_bias=torch.cat([table[f"{name}.bias"] for name in names]),
            out=table[f"{out}.weight"],
            out_bias=table[f"{out}.bias"],
            after_attention=self._norm(f"{prefix}attention.output.LayerNorm"),
            up=table[f"{up}.weight"],
            up_bias=table[f"{up}.bias"],
            down=table[f"{down}.weight"],
            down_bias=table[f"{down}.bias"],
            after_mlp=self._norm(f"{prefix}output.LayerNorm"),
        )

    def _norm(self, name: str) -> Norm:
        return Norm(self._tensors[f"{name}.weight"], self._tensors[f"{name}.bias"], self.shape.epsilon)
