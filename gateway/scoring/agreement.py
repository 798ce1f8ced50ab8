"""How far several answers to one prompt agree. What a model makes up, it makes up differently each time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor

from kernels.consistency import MOST
from kernels.dispatch import Ops
from kernels.tile import packed

SAME = 0.8  # MaxSim both ways from which two answers count as one meaning, as a piece counts as supported (`features`)

Samples = Sequence[Tensor]


def agreements(prompts: Sequence[Samples], ops: Ops) -> list[tuple[float, float]]:
    """For each prompt's samples, [tokens, d] each: `(agreement, entropy)`, see `kernels.consistency`.

    Agreement is a mean MaxSim, clamped to [0, 1]; entropy counts clusters, in nats. Prompts with as many samples share
    a launch. No more than the first 64 samples of a prompt are looked at.
    """
    sized: defaultdict[int, list[int]] = defaultdict(list)
    for at, samples in enumerate(prompts):
        sized[min(len(samples), MOST)].append(at)
    found: dict[int, tuple[float, float]] = {}
    for n, places in sized.items():
        found |= zip(places, _of_size([prompts[at][:n] for at in places], n, ops), strict=True)
    return [found[at] for at in range(len(prompts))]


def _of_size(prompts: Sequence[Samples], n: int, ops: Ops) -> list[tuple[float, float]]:
    tokens = [sample for samples in prompts for sample in samples]
    ends = packed([len(sample) for sample in tokens], ops.device)
    said = ops.pairwise_consistency(torch.cat(tokens), ends, n, SAME)
    return list(zip(said.agreement.clamp(0, 1).tolist(), said.entropy.tolist(), strict=True))
