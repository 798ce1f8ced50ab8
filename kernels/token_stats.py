"""Uncertainty of a model's tokens, from its logits in one read.

    lse = ln sum_v exp z[v]         nll = lse - z[chosen]          entropy = lse - sum_v p[v]·z[v]
    mass = sum of p over the k most probable tokens                gap = p of the first less p of the second

with p = exp(z - lse), in nats. z [T, V] may hold -inf (a token ruled out has p = 0), but not in a whole row. A running
maximum keeps every exponent at or below 0; sums are fp32.

Where only the provider's `top_logprobs` are known, `from_top_logprobs` gives the same numbers for the part of the
distribution that is told, the rest counted as one token more: its entropy is a lower bound, exact where none is left.

Bytes: b·V·T read once (the usual log_softmax and three reductions read and write several times that).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.keys import NOTHING, key, merged, unkeyed

MOST = 32  # k
BLOCK = 2048


@dataclass(frozen=True, slots=True)
class TokenStats:
    """All [T] float32: nats for nll and entropy, probabilities for mass and gap."""

    nll: Tensor
    entropy: Tensor
    mass: Tensor
    gap: Tensor


def token_stats_torch(logits: Tensor, chosen: Tensor, k: int = 5) -> TokenStats:
    """The reference. Contract as `token_stats`."""
    check(logits, chosen, k)
    logp = logits.float().log_softmax(1)
    nll = -logp.gather(1, chosen.long()[:, None])[:, 0]
    top = logp.exp().topk(max(k, 2), dim=1).values
    return TokenStats(nll, torch.special.entr(logp.exp()).sum(1), top[:, :k].sum(1), top[:, 0] - top[:, 1])


def from_top_logprobs(logprobs: Tensor, chosen: Tensor, k: int = 5) -> TokenStats:
    """`logprobs` [T, n] as the provider told them, in any order, -inf where fewer; `chosen` [T] those of the tokens."""
    p = logprobs.float().exp()
    rest = (1 - p.sum(1)).clamp_min(0)
    top = torch.nn.functional.pad(p, (0, 2)).sort(dim=1, descending=True).values
    entropy = torch.special.entr(p).sum(1) + torch.special.entr(rest)
    return TokenStats(-chosen.float(), entropy, top[:, :k].sum(1), top[:, 0] - top[:, 1])


def check(logits: Tensor, chosen: Tensor, k: int) -> None:
    """Raise `ValueError` unless the arguments fit together. Reads shapes and types only, never the device."""
    if logits.ndim != 2 or not logits.is_floating_point() or logits.shape[1] < 2:
        raise ValueError(f"logits must be a floating [tokens, vocabulary], not {logits.dtype} {list(logits.shape)}")
    if chosen.shape != logits.shape[:1] or chosen.dtype not in {torch.int32, torch.int64}:
        raise ValueError(f"chosen must be int32 or int64 [{len(logits)}], not {chosen.dtype} {list(chosen.shape)}")
    if not 1 <= k <= min(MOST, logits.shape[1]):
        raise ValueError(f"k must be between 1 and {min(MOST, logits.shape[1])}, not {k}")


@triton.jit
def folded(peak, total, moment, z):
    """Running (max, sum of e, sum of e·(z - max)), e = exp(z - max), with one more block of logits or -inf."""
    higher = tl.maximum(peak, tl.max(z, axis=0))
    scale = tl.exp(peak - higher)
    e = tl.exp(z - higher)
    below = tl.where(e > 0, z - higher, 0.0)  # 0 · -inf is not a number
    moment = scale * (moment + total * (peak - higher)) + tl.sum(e * below, axis=0)
    return higher, total * scale + tl.sum(e, axis=0), moment


@triton.jit
def _token_stats(
    Z, CHOSEN, NLL, ENTROPY, MASS, GAP,
    z_stride, v, k,
    BLOCK: tl.constexpr, K: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    peak, total, moment = -1e38, 0.0, 0.0  # finite, so that a block of -inf leaves it in place
    kept = tl.zeros([K, 1], tl.int64) + NOTHING - tl.arange(0, K)[:, None]
    for start in range(0, v, BLOCK):
        at = start + tl.arange(0, BLOCK)
        z = tl.load(Z + row * z_stride + at, at < v, float("-inf")).to(tl.float32)
        peak, total, moment = folded(peak, total, moment, z)
        if tl.max(z, axis=0) > unkeyed(tl.min(tl.min(kept, axis=0), axis=0))[0]:
            kept = merged(kept, key(z, at)[:, None])
    # All relative to the largest logit, however large it is.
    below = tl.load(Z + row * z_stride + tl.load(CHOSEN + row)).to(tl.float32) - peak
    tl.store(NLL + row, tl.log(total) - below)
    tl.store(ENTROPY + row, tl.log(total) - moment / total)
    # Fewer than K are wanted where k is no power of two: take the best k one by one.
    second, mass, taken = peak, 0.0, 0
    while taken < k:
        top = tl.max(tl.max(kept, axis=0), axis=0)
        score = unkeyed(top)[0]
        second = tl.where(taken == 1, score, second)
        mass += tl.exp(score - peak)
        kept = tl.where(kept == top, NOTHING - K, kept)
        taken += 1
    if k == 1:
        second = unkeyed(tl.max(tl.max(kept, axis=0), axis=0))[0]
    tl.store(MASS + row, mass / total)
    tl.store(GAP + row, (1 - tl.exp(second - peak)) / total)


def token_stats(logits: Tensor, chosen: Tensor, k: int = 5) -> TokenStats:
    """Uncertainty of `logits` [T, V] (float32, bfloat16 or float16) at tokens `chosen` [T]; see the module.

    Unit stride in the last dimension, 1 ≤ k ≤ 32. Raises `ValueError` where these do not fit.
    """
    check(logits, chosen, k)
    if logits.stride(1) != 1:
        raise ValueError("the last dimension of logits must be contiguous")
    nll, entropy, mass, gap = torch.empty(4, len(logits), dtype=torch.float32, device=logits.device)
    if len(logits):
        _token_stats[(len(logits),)](
            logits, chosen, nll, entropy, mass, gap,
            logits.stride(0), logits.shape[1], k,
            BLOCK=min(BLOCK, triton.next_power_of_2(logits.shape[1])), K=max(triton.next_power_of_2(k), 2),
            num_warps=4,
        )  # fmt: skip
    return TokenStats(nll, entropy, mass, gap)
