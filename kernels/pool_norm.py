"""Pooling: packed token vectors to unit vectors, and one unit vector a segment, in one read.

    token[i] = x[i] / |x[i]|          pooled[s] = m / |m|,  m = sum_i w[i]·x[i] over segment s

(the mean's own divisor falls out of the norm). Segment s owns rows `ends[s] : ends[s + 1]` of x [T, d]; w is a mask or
any weight not negative. Sums are fp32. A zero vector, and a segment of no rows or no weight, give zeros.

Bytes: b·d·T read at b bytes an element, b'·d·S written and, with tokens, b'·d·T more. Nothing but memory counts.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.tile import halves, spans, squares, stored

ROWS = 16
TINY = tl.constexpr(1e-12)  # as torch.nn.functional.normalize


def pool_norm_torch(
    x: Tensor, ends: Tensor, weights: Tensor | None = None, *, dtype: torch.dtype | None = None, tokens: bool = False
) -> tuple[Tensor, Tensor | None]:
    """The reference. Contract as `pool_norm`."""
    check(x, ends, weights)
    wide = x.float()
    weighted = wide if weights is None else wide * weights[:, None]
    pooled = torch.stack([weighted[a:b].sum(0) for a, b in spans(ends)]) if len(ends) > 1 else wide[:0]
    return _unit(pooled, dtype or x.dtype), _unit(wide, dtype or x.dtype) if tokens else None


def _unit(x: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.nn.functional.normalize(x, dim=1, eps=TINY.value).to(dtype)


def check(x: Tensor, ends: Tensor, weights: Tensor | None) -> None:
    """Raise `ValueError` unless the arguments fit together. Reads shapes and types only, never the device."""
    if x.ndim != 2 or not x.is_floating_point():
        raise ValueError(f"x must be a floating [tokens, d], not {x.dtype} {list(x.shape)}")
    if ends.ndim != 1 or len(ends) == 0 or ends.dtype != torch.int32:
        raise ValueError(f"ends must be int32 [segments + 1], not {ends.dtype} {list(ends.shape)}")
    if weights is not None and (weights.shape != x.shape[:1] or weights.dtype != torch.float32):
        raise ValueError(f"weights must be float32 [{len(x)}], not {weights.dtype} {list(weights.shape)}")


@triton.jit
def reciprocal(square):
    """1 / |x| of a vector whose squared norm is given."""
    return 1 / tl.maximum(tl.sqrt(square), TINY)


@triton.jit
def _pool_norm(
    X, ENDS, W, POOLED, TOKENS,
    x_stride, d,
    HIGH: tl.constexpr, LOW: tl.constexpr, ROWS: tl.constexpr, WEIGHTED: tl.constexpr, KEEP: tl.constexpr,
):  # fmt: skip
    segment = tl.program_id(0).to(tl.int64)
    first, last = tl.load(ENDS + segment), tl.load(ENDS + segment + 1)
    high, low = tl.arange(0, HIGH), HIGH + tl.arange(0, LOW if LOW else HIGH)  # noqa: FURB110 - device code has no `or`
    sum_high, sum_low = tl.zeros([HIGH], tl.float32), tl.zeros([LOW if LOW else HIGH], tl.float32)  # noqa: FURB110
    for start in range(first, last, ROWS):
        rows = start + tl.arange(0, ROWS)
        inside = rows < last
        at = rows[:, None].to(tl.int64)
        x_high = tl.load(X + at * x_stride + high[None, :], inside[:, None], 0.0).to(tl.float32)
        x_low = tl.load(X + at * x_stride + low[None, :], inside[:, None] & (LOW > 0), 0.0).to(tl.float32)
        if KEEP:
            scale = reciprocal(squares(x_high, 1) + squares(x_low, 1))[:, None]
            tl.store(TOKENS + at * d + high[None, :], (x_high * scale).to(TOKENS.dtype.element_ty), inside[:, None])
            if LOW:
                tl.store(TOKENS + at * d + low[None, :], (x_low * scale).to(TOKENS.dtype.element_ty), inside[:, None])
        w = tl.load(W + rows, inside, 0.0)[:, None] if WEIGHTED else 1.0
        sum_high += tl.sum(x_high * w, axis=0)
        sum_low += tl.sum(x_low * w, axis=0)
    scale = reciprocal(tl.sum(sum_high * sum_high) + tl.sum(sum_low * sum_low))
    tl.store(POOLED + segment * d + high, (sum_high * scale).to(POOLED.dtype.element_ty))
    if LOW:
        tl.store(POOLED + segment * d + low, (sum_low * scale).to(POOLED.dtype.element_ty))


def pool_norm(
    x: Tensor, ends: Tensor, weights: Tensor | None = None, *, dtype: torch.dtype | None = None, tokens: bool = False
) -> tuple[Tensor, Tensor | None]:
    """`(pooled [S, d], tokens [T, d] or None)`, unit rows in `dtype` (left out: that of `x`).

    `x` is [T, d], unit stride in the last dimension, d the sum of two powers of two from 64 up; `ends` int32 [S + 1],
    rising from 0 to T; `weights` float32 [T], all ones where left out. Raises `ValueError` where these do not fit.
    """
    check(x, ends, weights)
    high, low = halves(x.shape[1])
    if x.stride(1) != 1:
        raise ValueError("the last dimension of x must be contiguous")
    segments = len(ends) - 1
    dtype = dtype or x.dtype
    pooled = torch.empty(segments, x.shape[1], dtype=stored(dtype, x), device=x.device)
    kept = torch.empty(x.shape, dtype=stored(dtype, x), device=x.device) if tokens else None
    if segments:
        _pool_norm[(segments,)](
            x, ends, weights if weights is not None else x, pooled, kept if kept is not None else pooled,
            x.stride(0), x.shape[1],
            HIGH=high, LOW=low, ROWS=ROWS, WEIGHTED=weights is not None, KEEP=tokens,
        )  # fmt: skip
    return pooled.to(dtype), kept.to(dtype) if kept is not None else None
