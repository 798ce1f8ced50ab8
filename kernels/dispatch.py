"""Which implementation runs: Triton on a GPU, the torch reference on a CPU. Decided once, when the scorer opens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from kernels import maxsim

Maxsim = Callable[[Tensor, Tensor, Tensor, Tensor, maxsim.Extras], maxsim.Stats]


@dataclass(frozen=True, slots=True)
class Ops:
    """The ops of one device, under the contracts of their modules."""

    device: torch.device
    ragged_maxsim_stats: Maxsim


def ops(device: str | torch.device | None = None) -> Ops:
    """The ops for `device`; left out, for the GPU where there is one. Touches CUDA: never before a fork."""
    chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if chosen.type == "cuda":
        return Ops(chosen, maxsim.ragged_maxsim_stats)
    return Ops(chosen, maxsim.ragged_maxsim_stats_torch)
