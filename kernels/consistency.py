"""Self-consistency: how far n sampled answers to one prompt agree, and into how many meanings they fall.

    maxsim[i, j] = mean over tokens a of sample i of max over tokens b of sample j <x_a, x_b>
    linked[i, j] = min(maxsim[i, j], maxsim[j, i]) >= tau        clusters = its connected components
    agreement = mean of maxsim[i, j] over i != j                 entropy = - sum of p·ln p over clusters, p = size / n

(the discrete semantic entropy of Farquhar et al., Nature 2024, with similarity in the place of entailment). Tokens x
[T, d] are packed, unit vectors; sample s owns rows `ends[s] : ends[s + 1]`, and n samples in a row are one prompt's.
Products accumulate in fp32. An empty sample has maxsim 0 with every other and 1 with itself: it is a cluster alone.

One launch: a program takes one pair of samples; the last one of its prompt finds the clusters. No token matrix is
written. Bytes: b·d·T, each sample's tokens read n times, from cache. FLOPs: 2·d·sum(Li·Lj).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.maxsim import improved
from kernels.tile import halves, interpreted, precision, product, spans

MOST = 64  # samples of one prompt
TILE = 64


@dataclass(frozen=True, slots=True)
class Consistency:
    """maxsim [G, n, n], agreement [G], entropy [G] (nats) float32; clusters [G, n] int32: the first member of each."""

    maxsim: Tensor
    agreement: Tensor
    entropy: Tensor
    clusters: Tensor


def pairwise_consistency_torch(x: Tensor, ends: Tensor, n: int, tau: float) -> Consistency:
    """The reference. Contract as `pairwise_consistency`."""
    check(x, ends, n)
    samples = [x[a:b] for a, b in spans(ends)]
    found = [_prompt(samples[at : at + n], tau) for at in range(0, len(samples), n)]
    maxsim = torch.stack([f[0] for f in found]) if found else x.new_empty(0, n, n, dtype=torch.float32)
    clusters = torch.stack([f[1] for f in found]) if found else maxsim.new_empty(0, n, dtype=torch.int32)
    off = maxsim.sum((1, 2)) - maxsim.diagonal(dim1=1, dim2=2).sum(1)
    share = torch.nn.functional.one_hot(clusters.long(), n).sum(1) / n
    entropy = torch.special.entr(share).sum(1)
    return Consistency(maxsim, off / max(n * (n - 1), 1), entropy, clusters)


def _prompt(samples: list[Tensor], tau: float) -> tuple[Tensor, Tensor]:
    n = len(samples)
    maxsim = torch.eye(n, device=samples[0].device)
    for i, left in enumerate(samples):
        for j, right in enumerate(samples):
            if i != j and len(left) and len(right):
                maxsim[i, j] = (left @ right.T).float().amax(1).mean()
    linked = (maxsim.minimum(maxsim.T) >= tau) | torch.eye(n, dtype=torch.bool, device=maxsim.device)
    clusters = torch.arange(n, device=maxsim.device)
    for _ in range(n):
        clusters = torch.where(linked, clusters, n).amin(1)
    return maxsim, clusters.int()


def check(x: Tensor, ends: Tensor, n: int) -> None:
    """Raise `ValueError` unless the arguments fit together. Reads shapes and types only, never the device."""
    if x.ndim != 2 or not x.is_floating_point():
        raise ValueError(f"x must be a floating [tokens, d], not {x.dtype} {list(x.shape)}")
    if not 1 <= n <= MOST:
        raise ValueError(f"n must be between 1 and {MOST}, not {n}")
    if ends.ndim != 1 or ends.dtype != torch.int32 or (len(ends) - 1) % n or len(ends) == 0:
        raise ValueError(f"ends must be int32 [prompts * {n} + 1], not {ends.dtype} {list(ends.shape)}")


@triton.jit
def components(linked, own):
    """[N, N] links and [N] = 0, 1, … -> the smallest member of each one's component."""
    clusters = own
    for _ in range(own.shape[0]):
        clusters = tl.min(tl.where(linked, clusters[None, :], own.shape[0]), axis=1)
    return clusters


@triton.jit
def entropy_of(clusters, own, n):
    """Nats of the shares that clusters have of `n` members; those past `n` belong to none."""
    member = (clusters[:, None] == own[None, :]) & (own < n)[:, None]
    share = tl.sum(member.to(tl.float32), axis=0) / n
    return -tl.sum(share * tl.log(tl.where(share > 0, share, 1.0)))


@triton.jit
def _pairwise_consistency(
    X, ENDS, DONE, MAXSIM, AGREEMENT, ENTROPY, CLUSTERS,
    x_stride, n, tau,
    HIGH: tl.constexpr, LOW: tl.constexpr, TILE: tl.constexpr, N: tl.constexpr,
    PRECISION: tl.constexpr, INTERPRETED: tl.constexpr,
):  # fmt: skip
    prompt, i, j = tl.program_id(0) // (n * n), tl.program_id(0) // n % n, tl.program_id(0) % n
    r0, r1 = tl.load(ENDS + prompt * n + i), tl.load(ENDS + prompt * n + i + 1)
    c0, c1 = tl.load(ENDS + prompt * n + j), tl.load(ENDS + prompt * n + j + 1)
    high, low = tl.arange(0, HIGH), HIGH + tl.arange(0, LOW if LOW else HIGH)  # noqa: FURB110 - device code has no `or`
    total = 0.0
    stop = tl.where((i == j) | (c1 == c0), r0, r1)
    for first in range(r0, stop, TILE):
        rows = first + tl.arange(0, TILE)
        inside = rows < r1
        left = X + rows[:, None].to(tl.int64) * x_stride
        r_high = tl.load(left + high[None, :], inside[:, None], 0.0)
        r_low = tl.load(left + low[None, :], inside[:, None], 0.0) if LOW else r_high
        best = tl.zeros([TILE], tl.float32) + float("-inf")
        where = tl.zeros([TILE], tl.int32)
        for start in range(c0, c1, TILE):
            columns = start + tl.arange(0, TILE)
            there = columns < c1
            right = X + columns[None, :].to(tl.int64) * x_stride
            scores = tl.zeros([TILE, TILE], tl.float32)
            c_high = tl.load(right + high[:, None], there[None, :], 0.0)
            scores = product(r_high, c_high, scores, PRECISION, INTERPRETED)
            if LOW:
                c_low = tl.load(right + low[:, None], there[None, :], 0.0)
                scores = product(r_low, c_low, scores, PRECISION, INTERPRETED)
            best, where = improved(best, where, tl.where(there[None, :], scores, float("-inf")), start)
        total += tl.sum(tl.where(inside, best, 0.0))
    mean = tl.where(i == j, 1.0, total / tl.maximum((r1 - r0).to(tl.float32), 1.0))
    here = MAXSIM + prompt * n * n
    tl.store(here + i * n + j, mean)
    tl.debug_barrier()  # the mean is written before this program counts itself
    if tl.atomic_add(DONE + prompt, 1) == n * n - 1:
        own = tl.arange(0, N)
        real = (own < n)[:, None] & (own < n)[None, :]
        square = here + own[:, None] * n + own[None, :]
        sims = tl.load(square, real, 0.0, cache_modifier=".cg")  # the first-level cache may hold old ones
        back = tl.load(here + own[None, :] * n + own[:, None], real, 0.0, cache_modifier=".cg")
        same = own[:, None] == own[None, :]
        clusters = components((real & (tl.minimum(sims, back) >= tau)) | same, own)
        tl.store(CLUSTERS + prompt * n + own, clusters, own < n)
        tl.store(ENTROPY + prompt, entropy_of(clusters, own, n))
        tl.store(AGREEMENT + prompt, tl.sum(tl.where(same, 0.0, sims)) / tl.maximum(n * (n - 1), 1))


def pairwise_consistency(x: Tensor, ends: Tensor, n: int, tau: float) -> Consistency:
    """How far the `n` samples of every prompt agree; see the module.

    `x` is [T, d], unit stride in the last dimension, d the sum of two powers of two from 64 up; `ends` int32
    [prompts · n + 1], rising from 0; 1 ≤ n ≤ 64. Raises `ValueError` where these do not fit.
    """
    check(x, ends, n)
    high, low = halves(x.shape[1])
    if x.stride(1) != 1:
        raise ValueError("the last dimension of x must be contiguous")
    prompts = (len(ends) - 1) // n
    maxsim = torch.empty(prompts, n, n, dtype=torch.float32, device=x.device)
    agreement, entropy = torch.empty(2, prompts, dtype=torch.float32, device=x.device)
    clusters = torch.empty(prompts, n, dtype=torch.int32, device=x.device)
    if prompts:
        _pairwise_consistency[(prompts * n * n,)](
            x, ends, torch.zeros(prompts, dtype=torch.int32, device=x.device), maxsim, agreement, entropy, clusters,
            x.stride(0), n, tau,
            HIGH=high, LOW=low, TILE=TILE if x.shape[1] * x.dtype.itemsize <= 768 else TILE // 2,
            N=max(triton.next_power_of_2(n), 2),
            PRECISION=precision(x), INTERPRETED=interpreted(x), num_warps=4, num_stages=2,
        )  # fmt: skip
    return Consistency(maxsim, agreement, entropy, clusters)
