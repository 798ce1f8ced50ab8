"""Similarity search: the k best rows of a bank for every query, and how many rows pass a threshold.

    s[q, n] = <Q[q], B[n]> · q_scale[q] · b_scale[n]
    values, places = the k largest s[q, :], largest first, the smaller place among equals
    counts[q, t] = #{n : s[q, n] >= tau_t}

Q [NQ, d] and B [N, d] share a dtype: a float, or int8 or fp8 with a scale a row. Products accumulate in fp32 (int32 for
int8). Where the bank has fewer than k rows the rest is -inf at -1. The [NQ, N] matrix is never written: each program
keeps the best of its share of the bank, and 8·k bytes a query and program are left to merge.

Bytes: b·d·N read once for every 64 queries. FLOPs: 2·d·NQ·N. Memory counts up to some hundred queries.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.keys import NOTHING, key, merged, unkeyed, unkeyed_torch
from kernels.tile import halves, interpreted, precision, processors, product

MOST = 64  # k: beyond that the running lists no longer fit in registers


@dataclass(frozen=True, slots=True)
class Rows:
    """Vectors [n, d] and, where they are quantised, what each row is to be multiplied by ([n] float32)."""

    vectors: Tensor
    scale: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Nearest:
    """values [NQ, k] float32, places [NQ, k] int32, counts [NQ, T] int32."""

    values: Tensor
    places: Tensor
    counts: Tensor


def quantised(x: Tensor, dtype: torch.dtype) -> Rows:
    """Rows of `x` as int8 or float8_e4m3fn, scaled so that each row's largest element is the largest there is."""
    if dtype not in {torch.int8, torch.float8_e4m3fn}:
        raise ValueError(f"rows are quantised to int8 or float8_e4m3fn, not {dtype}")
    most = 127.0 if dtype == torch.int8 else 448.0
    scale = x.float().abs().amax(1).clamp_min(1e-12) / most
    scaled = x.float() / scale[:, None]
    return Rows((scaled.round() if dtype == torch.int8 else scaled).to(dtype), scale)


def similarity_topk_torch(queries: Rows, bank: Rows, k: int, taus: Tensor | None = None) -> Nearest:
    """The reference: the whole matrix at once. Contract as `similarity_topk`."""
    check(queries, bank, k, taus)
    scores = (_wide(queries) @ _wide(bank).T).float()
    taus = taus if taus is not None else scores.new_empty(0)
    counts = torch.stack([(scores >= tau).sum(1) for tau in taus], 1) if len(taus) else scores.new_empty(len(scores), 0)
    order = scores.sort(dim=1, descending=True, stable=True)
    short = max(k - scores.shape[1], 0)
    values = torch.nn.functional.pad(order.values[:, :k], (0, short), value=-torch.inf)
    return Nearest(values, torch.nn.functional.pad(order.indices[:, :k], (0, short), value=-1).int(), counts.int())


def _wide(rows: Rows) -> Tensor:
    x = rows.vectors.float() if rows.vectors.dtype.itemsize == 1 else rows.vectors
    return x if rows.scale is None else x * rows.scale[:, None]


def check(queries: Rows, bank: Rows, k: int, taus: Tensor | None) -> None:
    """Raise `ValueError` unless the arguments fit together. Reads shapes and types only, never the device."""
    q, b = queries.vectors, bank.vectors
    if q.ndim != 2 or b.ndim != 2 or q.shape[1] != b.shape[1] or q.dtype != b.dtype:
        raise ValueError(f"queries and bank must be [n, d] of one dtype, not {q.dtype} {list(q.shape)} and "
                         f"{b.dtype} {list(b.shape)}")  # fmt: skip
    for rows in (queries, bank):
        if rows.scale is not None and (rows.scale.shape != rows.vectors.shape[:1] or rows.scale.dtype != torch.float32):
            raise ValueError(f"a scale must be float32 [{len(rows.vectors)}], not {list(rows.scale.shape)}")
    if not 1 <= k <= MOST:
        raise ValueError(f"k must be between 1 and {MOST}, not {k}")
    if taus is not None and (taus.ndim != 1 or taus.dtype != torch.float32):
        raise ValueError(f"taus must be float32 [T], not {taus.dtype} {list(taus.shape)}")


@triton.jit
def passing(scores, tau):
    """[N, Q] scores -> [Q]: how many rows reach `tau`."""
    return tl.sum((scores >= tau).to(tl.int32), axis=0)


@triton.jit
def _similarity_topk(
    Q, B, Q_SCALE, B_SCALE, TAUS, KEPT, COUNTS,
    queries, n, q_stride, b_stride, t,
    HIGH: tl.constexpr, LOW: tl.constexpr, ROWS: tl.constexpr, QUERIES: tl.constexpr, SHARES: tl.constexpr,
    K: tl.constexpr, T: tl.constexpr, COUNTED: tl.constexpr,
    SCALED: tl.constexpr, INTEGER: tl.constexpr,
    PRECISION: tl.constexpr, INTERPRETED: tl.constexpr,
):  # fmt: skip
    share, tile = tl.program_id(0), tl.program_id(1)
    asked = tile * QUERIES + tl.arange(0, QUERIES)
    high, low = tl.arange(0, HIGH), HIGH + tl.arange(0, LOW if LOW else HIGH)  # noqa: FURB110 - device code has no `or`
    right = Q + asked[None, :].to(tl.int64) * q_stride
    q_high = tl.load(right + high[:, None], (asked < queries)[None, :], 0.0)
    q_low = tl.load(right + low[:, None], (asked < queries)[None, :], 0.0) if LOW else q_high
    q_scale = tl.load(Q_SCALE + asked, asked < queries, 0.0) if SCALED else tl.zeros([QUERIES], tl.float32) + 1.0
    kept = tl.zeros([K, QUERIES], tl.int64) + NOTHING - tl.arange(0, K)[:, None]  # distinct, as merging asks
    counts = tl.zeros([QUERIES, T], tl.int32)
    length = tl.cdiv(tl.cdiv(n, SHARES), ROWS) * ROWS
    for start in range(share * length, tl.minimum((share + 1) * length, n), ROWS):
        rows = start + tl.arange(0, ROWS)
        there = rows < n
        left = B + rows[:, None].to(tl.int64) * b_stride
        if INTEGER:
            total = tl.dot(tl.load(left + high[None, :], there[:, None], 0), q_high, out_dtype=tl.int32)
            if LOW:
                total += tl.dot(tl.load(left + low[None, :], there[:, None], 0), q_low, out_dtype=tl.int32)
            scores = total.to(tl.float32)
        else:
            scores = tl.zeros([ROWS, QUERIES], tl.float32)
            b_high = tl.load(left + high[None, :], there[:, None], 0.0)
            scores = product(b_high, q_high, scores, PRECISION, INTERPRETED)
            if LOW:
                b_low = tl.load(left + low[None, :], there[:, None], 0.0)
                scores = product(b_low, q_low, scores, PRECISION, INTERPRETED)
        if SCALED:
            scores *= tl.load(B_SCALE + rows, there, 0.0)[:, None] * q_scale[None, :]
        scores = tl.where(there[:, None], scores, float("-inf"))
        if COUNTED:
            for i in tl.static_range(T):
                counts += tl.where(tl.arange(0, T) == i, passing(scores, tl.load(TAUS + i, i < t, 0.0))[:, None], 0)
        # Keys are made only where some row beats the worst that is kept: seldom, past the first few tiles.
        worst, _ = unkeyed(tl.min(kept, axis=0))
        if tl.max((tl.max(scores, axis=0) > worst).to(tl.int32), axis=0) > 0:
            kept = merged(kept, key(scores, tl.zeros_like(scores).to(tl.int32) + rows[:, None]))
    slots = KEPT + (asked[None, :].to(tl.int64) * SHARES + share) * K + tl.arange(0, K)[:, None]
    tl.store(slots, kept, (asked < queries)[None, :])
    if COUNTED:
        columns = tl.arange(0, T)
        within = (asked < queries)[:, None] & (columns < t)[None, :]
        tl.atomic_add(COUNTS + asked[:, None] * t + columns[None, :], counts, within)


def similarity_topk(
    queries: Rows, bank: Rows, k: int, taus: Tensor | None = None, *, shares: int | None = None
) -> Nearest:
    """The `k` rows of `bank` most like each of `queries`, and the rows that reach each of `taus` [T].

    One dtype for both (float32, bfloat16, float16, float8_e4m3fn, int8), unit stride in the last dimension, d the sum
    of two powers of two from 64 up, 1 ≤ k ≤ 64. `shares` is how many programs share out the bank. Raises `ValueError`
    where shapes or types do not fit.
    """
    check(queries, bank, k, taus)
    q, b = queries.vectors, bank.vectors
    high, low = halves(q.shape[1])
    if q.stride(1) != 1 or b.stride(1) != 1:
        raise ValueError("the last dimension of queries and bank must be contiguous")
    together, rows, stages = _tiling(len(q), q.shape[1] * q.dtype.itemsize)
    tiles = triton.cdiv(len(q), together)
    shares = shares or max(min(2 * processors(q.device) // max(tiles, 1), triton.cdiv(len(b), rows)), 1)
    slots = triton.next_power_of_2(k)
    kept = torch.empty(len(q), shares * slots, dtype=torch.int64, device=q.device)
    taus = taus if taus is not None else torch.empty(0, dtype=torch.float32, device=q.device)
    counts = torch.zeros(len(q), len(taus), dtype=torch.int32, device=q.device)
    scaled = queries.scale is not None or bank.scale is not None
    if len(q):
        _similarity_topk[(shares, tiles)](
            q, b, _scales(queries), _scales(bank), taus, kept, counts,
            len(q), len(b), q.stride(0), b.stride(0), len(taus),
            HIGH=high, LOW=low, ROWS=rows, QUERIES=together, SHARES=shares,
            K=slots, T=triton.next_power_of_2(max(len(taus), 1)), COUNTED=len(taus) > 0,
            SCALED=scaled, INTEGER=q.dtype == torch.int8,
            PRECISION=precision(q), INTERPRETED=interpreted(q), num_warps=8 if together > 32 else 4, num_stages=stages,
        )  # fmt: skip
    values, places = unkeyed_torch(kept.topk(k, dim=1).values)
    return Nearest(values, torch.where(values == -torch.inf, -1, places), counts)


def _tiling(queries: int, width: int) -> tuple[int, int, int]:
    """(queries a tile, rows a tile, tiles in flight) for rows of `width` bytes: what 227 KB of shared memory hold."""
    together = min(max(triton.next_power_of_2(queries), 16), 64 if width <= 1536 else 16)
    if width <= 512:
        return together, 128, 2
    if width <= 768:
        return together, 64, 3
    return together, 32 if width <= 1536 else 16, 2


def _scales(rows: Rows) -> Tensor:
    if rows.scale is not None:
        return rows.scale
    return torch.ones(len(rows.vectors), dtype=torch.float32, device=rows.vectors.device)
