"""How near texts come to groups of examples: what a topic is, told by sentences that are about it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from gateway.scoring.encoder import Encoder
from gateway.scoring.tokens import pieces

GROUPS = 512  # whose vectors are kept
AT_ONCE = 64  # texts in one pass of the encoder

Examples = tuple[str, ...]


class Similar:
    """A pure function of the encoder and the texts. Not for use by two threads at once."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._known: OrderedDict[Examples, Tensor] = OrderedDict()

    @torch.inference_mode()
    def similar(self, texts: Sequence[str], groups: Sequence[Examples]) -> list[list[float]]:
        """For every text, for every group: its cosine with the nearest example, or with what they have in common."""
        vectors = self._vectors(texts)
        best = [(vectors @ self._group(group).T).amax(1) for group in groups]
        rows: list[list[float]] = torch.stack(best, dim=1).float().tolist() if best else [[] for _ in texts]
        return rows

    @torch.inference_mode()
    def vectors(self, texts: Sequence[str]) -> Tensor:
        """[texts, d], of length 1."""
        return self._vectors(texts)

    def _vectors(self, texts: Sequence[str]) -> Tensor:
        return torch.cat([self._encoded(texts[at : at + AT_ONCE]) for at in range(0, len(texts), AT_ONCE)])

    def _encoded(self, texts: Sequence[str]) -> Tensor:
        cut = pieces(self._encoder.tokenizer, texts)
        return torch.stack([encoding.vector for encoding in self._encoder.encode(cut)])

    def _group(self, group: Examples) -> Tensor:
        """[examples + 1, d]: a unit vector an example, and that of their mean."""
        found = self._known.get(group)
        if found is None:
            vectors = self._vectors(group)
            found = self._known[group] = torch.cat([vectors, functional.normalize(vectors.mean(0, keepdim=True))])
            if len(self._known) > GROUPS:
                self._known.popitem(last=False)
        self._known.move_to_end(group)
        return found
