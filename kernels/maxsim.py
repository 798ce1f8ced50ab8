"""Ragged MaxSim: for every response token, its best match among the context tokens of its own pair.

    best[i] = max_j <R[i], C[j]>        where[i] = the smallest j that attains it

R[TR, d] and C[TC, d] are packed: pair p owns rows `r_ends[p] : r_ends[p + 1]` and `c_ends[p] : c_ends[p + 1]`.
Products accumulate in fp32 whatever the dtype. A token whose pair has no context gets -inf and -1. No [Lr, Lc]
matrix is ever written: a tile of it lives in registers and is reduced on the spot.

Bytes (each read once): 2·d·(TR + TC) in bf16, 8·TR out. FLOPs: 2·d·Σ Lr·Lc.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.tile import interpreted, precision, product, spans

BLOCK_R = 64
BLOCK_C = 64


def ragged_maxsim_torch(r: Tensor, c: Tensor, r_ends: Tensor, c_ends: Tensor) -> tuple[Tensor, Tensor]:
    """The reference: one matrix product a pair. Contract as `ragged_maxsim`."""
    check(r, c, r_ends, c_ends)
    best = torch.full((r.shape[0],), -torch.inf, dtype=torch.float32, device=r.device)
    where = torch.full((r.shape[0],), -1, dtype=torch.int32, device=r.device)
    for (r0, r1), (c0, c1) in zip(spans(r_ends), spans(c_ends), strict=True):
        if r1 > r0 and c1 > c0:
            scores = (r[r0:r1] @ c[c0:c1].T).float()
            best[r0:r1] = scores.amax(1)
            where[r0:r1] = c0 + scores.argmax(1).int()
    return best, where


def check(r: Tensor, c: Tensor, r_ends: Tensor, c_ends: Tensor) -> None:
    """Raise `ValueError` unless the arguments fit together. Reads shapes and types only, never the device."""
    if r.ndim != 2 or c.ndim != 2 or r.shape[1] != c.shape[1]:
        raise ValueError(f"r and c must be [tokens, d] with one d, not {list(r.shape)} and {list(c.shape)}")
    if r.dtype != c.dtype or not r.is_floating_point():
        raise ValueError(f"r and c must share a floating dtype, not {r.dtype} and {c.dtype}")
    if r_ends.ndim != 1 or r_ends.shape != c_ends.shape or len(r_ends) == 0:
        raise ValueError(f"ends must be two [pairs + 1] vectors, not {list(r_ends.shape)} and {list(c_ends.shape)}")
    if r_ends.dtype != torch.int32 or c_ends.dtype != torch.int32:
        raise ValueError(f"ends must be int32, not {r_ends.dtype} and {c_ends.dtype}")


@triton.jit
def improved(best, where, scores, columns):
    """`best` and `where` of rows after one more tile of `scores`. The first of equals stays."""
    top, at = tl.max(scores, axis=1, return_indices=True, return_indices_tie_break_left=True)
    better = top > best
    return tl.where(better, top, best), tl.where(better, tl.min(columns, axis=0) + at, where)


@triton.jit
def _ragged_maxsim(
    R, C, R_ENDS, C_ENDS, BEST, WHERE,
    r_stride, c_stride,
    D: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_D: tl.constexpr,
    PRECISION: tl.constexpr, INTERPRETED: tl.constexpr,
):  # fmt: skip
    pair = tl.program_id(0)
    r0, r1 = tl.load(R_ENDS + pair), tl.load(R_ENDS + pair + 1)
    c0, c1 = tl.load(C_ENDS + pair), tl.load(C_ENDS + pair + 1)
    rows = r0 + tl.program_id(1) * BLOCK_R + tl.arange(0, BLOCK_R)
    inside = rows < r1
    dims = tl.arange(0, BLOCK_D)
    best = tl.full([BLOCK_R], float("-inf"), tl.float32)
    where = tl.full([BLOCK_R], -1, tl.int32)
    if tl.program_id(1) * BLOCK_R < r1 - r0:
        for start in range(c0, c1, BLOCK_C):
            columns = start + tl.arange(0, BLOCK_C)
            scores = tl.zeros([BLOCK_R, BLOCK_C], tl.float32)
            for k in tl.static_range(0, D, BLOCK_D):
                left = tl.load(R + rows[:, None].to(tl.int64) * r_stride + k + dims[None, :], inside[:, None], 0.0)
                right = tl.load(
                    C + columns[None, :].to(tl.int64) * c_stride + k + dims[:, None], (columns < c1)[None, :], 0.0
                )
                scores = product(left, right, scores, PRECISION, INTERPRETED)
            scores = tl.where((columns < c1)[None, :], scores, float("-inf"))
            best, where = improved(best, where, scores, columns)
        tl.store(BEST + rows, best, inside)
        tl.store(WHERE + rows, where, inside)


def ragged_maxsim(
    r: Tensor, c: Tensor, r_ends: Tensor, c_ends: Tensor, longest: int | None = None
) -> tuple[Tensor, Tensor]:
    """`(best, where)`: float32 and int32 vectors of length TR; `where` counts rows of `c`.

    `r` is [TR, d] and `c` [TC, d], of one floating dtype, unit stride in the last dimension, d a multiple of 64;
    `r_ends` and `c_ends` are int32 [pairs + 1], rising from 0. `longest` is the longest response in tokens; left out,
    it is read back from the device. Raises `ValueError` where shapes or types do not fit.
    """
    check(r, c, r_ends, c_ends)
    d = r.shape[1]
    if d % 64:
        raise ValueError(f"d must be a multiple of 64, not {d}")
    if r.stride(1) != 1 or c.stride(1) != 1:
        raise ValueError("the last dimension of r and c must be contiguous")
    best = torch.empty(r.shape[0], dtype=torch.float32, device=r.device)
    where = torch.empty(r.shape[0], dtype=torch.int32, device=r.device)
    pairs = len(r_ends) - 1
    rows = int(r_ends.diff().max()) if longest is None and pairs else longest or 0
    if pairs and rows:
        _ragged_maxsim[(pairs, triton.cdiv(rows, BLOCK_R))](
            r, c, r_ends, c_ends, best, where,
            r.stride(0), c.stride(0),
            D=d, BLOCK_R=BLOCK_R, BLOCK_C=BLOCK_C, BLOCK_D=128 if d % 128 == 0 else 64,
            PRECISION=precision(r), INTERPRETED=interpreted(r),
        )  # fmt: skip
    return best, where
