"""The scorer's encoder once more, padded and open to gradients, under the same names as its weights."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from gateway.scoring.weights import Shape
from training.grounding.batches import Batch


class CrossEncoder(nn.Module):
    """`forward` gives logits of being unsupported: claims [B], pieces [B, C]. The last layer is the claims' alone."""

    def __init__(self, shape: Shape, tensors: Mapping[str, Tensor], frozen: int) -> None:
        super().__init__()
        self.shape = shape
        self.names = {
            name: name.replace(".", "/")
            for name, t in tensors.items()
            if t.is_floating_point() and "pooler" not in name
        }
        self.weights = nn.ParameterDict(
            {key: nn.Parameter(tensors[name].clone().float()) for name, key in self.names.items()}
        )
        self.weights["head/piece"] = nn.Parameter(
            torch.randn(shape.width, generator=torch.Generator().manual_seed(0)) * 0.02
        )
        self.weights["head/pair"] = nn.Parameter(torch.zeros(shape.width))
        self.weights["head/bias"] = nn.Parameter(torch.tensor([-3.0, 0.0]))
        self.frozen = frozen
        for key, weight in self.weights.items():
            weight.requires_grad_(depth(key) >= frozen)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        with torch.set_grad_enabled(self.training and self.frozen == 0):
            x = self._embedded(batch)
        mask = batch.mask[:, None, None, :]
        for layer in range(self.shape.layers - 1):
            with torch.set_grad_enabled(self.training and layer >= self.frozen):
                x = self._block(layer, x, x, mask)
        at = torch.cat([torch.zeros_like(batch.claim[:, :1]), batch.claim], 1)
        asked = x.gather(1, at[..., None].expand(-1, -1, x.shape[-1]))
        x = self._block(self.shape.layers - 1, asked, x, mask).float()
        own, shift = self.weights["head/bias"]
        pieces = x[:, 1:] @ self.weights["head/piece"] + own
        worst = pieces.masked_fill(~batch.said, -30.0).logsumexp(1)
        return worst + x[:, 0] @ self.weights["head/pair"] + shift, pieces

    def _embedded(self, batch: Batch) -> Tensor:
        x = self._w("embeddings.word_embeddings.weight")[batch.ids]
        x = x + self._w("embeddings.token_type_embeddings.weight")[batch.types]
        x = x + self._w("embeddings.position_embeddings.weight")[: batch.ids.shape[1]]
        return self._norm(x, "embeddings.LayerNorm")

    def _block(self, layer: int, asked: Tensor, x: Tensor, mask: Tensor) -> Tensor:
        p = f"encoder.layer.{layer}."
        q = self._heads(self._linear(asked, f"{p}attention.self.query"))
        k, v = (self._heads(self._linear(x, f"{p}attention.self.{part}")) for part in ("key", "value"))
        seen = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2)
        y = self._norm(asked + self._linear(seen, f"{p}attention.output.dense"), f"{p}attention.output.LayerNorm")
        wide = functional.gelu(self._linear(y, f"{p}intermediate.dense"))
        return self._norm(y + self._linear(wide, f"{p}output.dense"), f"{p}output.LayerNorm")

    def _heads(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], self.shape.heads, -1).transpose(1, 2)

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return functional.linear(x, self._w(f"{name}.weight"), self._w(f"{name}.bias"))

    def _norm(self, x: Tensor, name: str) -> Tensor:
        return functional.layer_norm(
            x, x.shape[-1:], self._w(f"{name}.weight"), self._w(f"{name}.bias"), self.shape.epsilon
        )

    def _w(self, name: str) -> Tensor:
        weight: Tensor = self.weights[self.names[name]]
        return weight


def depth(key: str) -> int:
    """How far up a weight stands: embeddings 0, then its layer's number, the head above all."""
    parts = key.split("/")
    return int(parts[2]) if parts[0] == "encoder" else 99 if parts[0] == "head" else -1
