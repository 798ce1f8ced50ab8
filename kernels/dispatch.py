"""Which implementation runs: Triton on a GPU, the torch reference on a CPU. Decided once, when the scorer opens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from kernels import attention, bias_gelu, consistency, maxsim, pool_norm, residual_norm, similarity, token_stats


@dataclass(frozen=True, slots=True)
class Ops:
    """The ops of one device, under the contracts of their modules."""

    device: torch.device
    ragged_maxsim_stats: Callable[..., maxsim.Stats]
    pool_norm: Callable[..., tuple[torch.Tensor, torch.Tensor | None]]
    similarity_topk: Callable[..., similarity.Nearest]
    pairwise_consistency: Callable[..., consistency.Consistency]
    token_stats: Callable[..., token_stats.TokenStats]
    varlen_attention: Callable[..., torch.Tensor]
    bias_gelu: Callable[..., torch.Tensor]
    residual_norm: Callable[..., torch.Tensor]


def ops(device: str | torch.device | None = None) -> Ops:
    """The ops for `device`; left out, for the GPU where there is one. Touches CUDA: never before a fork."""
    chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if chosen.type == "cuda":
        return Ops(
            chosen,
            maxsim.ragged_maxsim_stats,
            pool_norm.pool_norm,
            similarity.similarity_topk,
            consistency.pairwise_consistency,
            token_stats.token_stats,
            attention.varlen_attention,
            bias_gelu.bias_gelu,
            residual_norm.residual_norm,
        )
    return Ops(
        chosen,
        maxsim.ragged_maxsim_stats_torch,
        pool_norm.pool_norm_torch,
        similarity.similarity_topk_torch,
        consistency.pairwise_consistency_torch,
        token_stats.token_stats_torch,
        attention.varlen_attention_torch,
        bias_gelu.bias_gelu_torch,
        residual_norm.residual_norm_torch,
    )
