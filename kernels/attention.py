"""Attention over packed sequences, each to itself, both ways, no padding and no mask matrix.

    y[i] = sum_j softmax_j(<q_i, k_j> / sqrt(w)) v_j          over the rows j of the sequence that i belongs to

qkv [T, 3, heads, w] packed: sequence s owns rows `ends[s] : ends[s + 1]`. Scores and sums are fp32, kept as a running
maximum and sum (FlashAttention's recurrence); weights meet v in the dtype of qkv.

Bytes: 4·b·heads·w·T at b bytes an element. FLOPs: 4·heads·w·sum(L²).
"""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.tile import interpreted, precision, product, spans, stored


def varlen_attention_torch(
    qkv: Tensor,
    ends: Tensor,
    *,
    longest: int | None = None,  # noqa: ARG001 - what the kernel is spared, the reference does not need
) -> Tensor:
    """The reference. Contract as `varlen_attention`."""
    check(qkv, ends)
    q, k, v = qkv.permute(1, 2, 0, 3)[:, None]  # a batch of one: of three dimensions torch takes its slow way
    parts = [
        torch.nn.functional.scaled_dot_product_attention(q[:, :, a:b], k[:, :, a:b], v[:, :, a:b])
        for a, b in spans(ends)
        if b > a
    ]
    return torch.cat([q[:, :, :0], *parts], dim=2)[0].transpose(0, 1).flatten(1)


def check(qkv: Tensor, ends: Tensor) -> None:
    """Raise `ValueError` unless the arguments fit together. Reads shapes and types only, never the device."""
    if qkv.ndim != 4 or qkv.shape[1] != 3 or not qkv.is_floating_point():
        raise ValueError(f"qkv must be a floating [tokens, 3, heads, width], not {qkv.dtype} {list(qkv.shape)}")
    if qkv.shape[3] not in {16, 32, 64, 128}:
        raise ValueError(f"a head must be 16, 32, 64 or 128 wide, not {qkv.shape[3]}")
    if ends.ndim != 1 or len(ends) == 0 or ends.dtype != torch.int32:
        raise ValueError(f"ends must be int32 [sequences + 1], not {ends.dtype} {list(ends.shape)}")


@triton.jit
def attended(peak, total, sums, scores, v, PRECISION: tl.constexpr, INTERPRETED: tl.constexpr):
    """Running (max, sum of weights, weighted sum of v) with one more tile of base-2 `scores`, -inf where masked."""
    higher = tl.maximum(peak, tl.max(scores, axis=1))
    scale = tl.exp2(peak - higher)
    weights = tl.exp2(scores - higher[:, None])
    total = total * scale + tl.sum(weights, axis=1)
    if not INTERPRETED:
        weights = weights.to(v.dtype)
    return higher, total, product(weights, v, sums * scale[:, None], PRECISION, INTERPRETED)


@triton.jit
def _varlen_attention(
    QKV, ENDS, Y,
    t_stride, heads, tiles, log2_scale,
    WIDTH: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, PRECISION: tl.constexpr, INTERPRETED: tl.constexpr,
):  # fmt: skip
    sequence, tile = tl.program_id(0) // (tiles * heads), tl.program_id(0) // heads % tiles
    head = tl.program_id(0) % heads
    first, last = tl.load(ENDS + sequence), tl.load(ENDS + sequence + 1)
    rows = first + tile * ROWS + tl.arange(0, ROWS)
    inside = rows < last
    if first + tile * ROWS < last:
        across = head * WIDTH + tl.arange(0, WIDTH)
        q = tl.load(QKV + rows[:, None].to(tl.int64) * t_stride + across[None, :], inside[:, None], 0.0)
        peak = tl.zeros([ROWS], tl.float32) + float("-inf")
        total = tl.zeros([ROWS], tl.float32)
        sums = tl.zeros([ROWS, WIDTH], tl.float32)
        for start in range(first, last, COLUMNS):
            columns = start + tl.arange(0, COLUMNS)
            there = columns < last
            keys = QKV + columns[None, :].to(tl.int64) * t_stride + heads * WIDTH + across[:, None]
            scores = tl.zeros([ROWS, COLUMNS], tl.float32)
            scores = product(q, tl.load(keys, there[None, :], 0.0), scores, PRECISION, INTERPRETED)
            scores = tl.where(there[None, :], scores * log2_scale, float("-inf"))
            values = QKV + columns[:, None].to(tl.int64) * t_stride + 2 * heads * WIDTH + across[None, :]
            v = tl.load(values, there[:, None], 0.0)
            peak, total, sums = attended(peak, total, sums, scores, v, PRECISION, INTERPRETED)
        y = sums / total[:, None]
        out = Y + rows[:, None].to(tl.int64) * heads * WIDTH + across[None, :]
        tl.store(out, y.to(Y.dtype.element_ty), inside[:, None])


def varlen_attention(qkv: Tensor, ends: Tensor, *, longest: int | None = None) -> Tensor:
    """[T, heads · w]: what `qkv` [T, 3, heads, w] attends to; w is 16, 32, 64 or 128, all but T contiguous.

    `ends` is int32 [sequences + 1], rising from 0 to T; `longest` the longest sequence, read back from the device where
    left out. Raises `ValueError` where these do not fit.
    """
    check(qkv, ends)
    tokens, _, heads, width = qkv.shape
    if tokens and qkv[0].stride() != (heads * width, width, 1):
        raise ValueError("qkv must be contiguous but for its first dimension")
    y = torch.empty(tokens, heads * width, dtype=stored(qkv.dtype, qkv), device=qkv.device)
    sequences = len(ends) - 1
    if sequences and tokens:
        rows = longest if longest is not None else int(ends.diff().max())
        tile = 64 if rows > 32 else 32
        tiles = triton.cdiv(rows, tile)
        _varlen_attention[(sequences * tiles * heads,)](
            qkv, ends, y,
            qkv.stride(0), heads, tiles, math.log2(math.e) / math.sqrt(width),
            WIDTH=width, ROWS=tile, COLUMNS=64,
            PRECISION=precision(qkv), INTERPRETED=interpreted(qkv), num_warps=4, num_stages=2,
        )  # fmt: skip
    return y.to(qkv.dtype)
