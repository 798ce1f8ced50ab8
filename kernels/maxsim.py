"""Ragged MaxSim with statistics: how well every token of a response is matched by the context of its own pair.

    s[i] = max_j <R[i], C[j]>       where[i] = the smallest j that attains it       (cosines with `normalise`)

and, over the tokens i of each response, with weights w (idf times content mask) and thresholds tau_k:

    mean, least = min s             weighted = sum w·s / sum w (mean where sum w = 0)
    short[k] = #{i : w > 0, s < tau_k}           missing[k] = sum w·relu(tau_k - s)
    window = the least mean of s over 5 neighbouring tokens (over all of them where there are fewer)

R[TR, d] and C[TC, d] are packed: pair p owns rows `r_ends[p] : r_ends[p + 1]` and `c_ends[p] : c_ends[p + 1]`. Products
accumulate in fp32 whatever the dtype. A token whose pair has no context has s = -inf and where = -1, and its response's
statistics follow from that. An empty response has least = window = inf and zeros otherwise.

No [Lr, Lc] matrix is ever written: tiles of it live in registers. One launch: programs share out a pair's response and
context, put (s, where) together by a 64-bit maximum, which no order of arrival can change, and whoever comes last of
its pair computes the statistics. Scratch is 8 bytes a response token and 4 a pair.

Bytes (each read once): b·d·(TR + TC) at b bytes an element, 20·TR for weights and results. FLOPs: 2·d·sum(Lr·Lc).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.keys import NOTHING, key, unkeyed
from kernels.tile import halves, interpreted, precision, processors, product, spans, squares

WINDOW = tl.constexpr(5)


@dataclass(frozen=True, slots=True)
class Stats:
    """Per token [TR]: best, where, source. Per response [P]: mean to window; [P, K]: short, missing.

    float32, but `where`, `source` and `short` are int32.

    `where` counts rows of the packed context; `source` is the segment of that row, None where no segments were given.
    """

    best: Tensor
    where: Tensor
    source: Tensor | None
    mean: Tensor
    least: Tensor
    weighted: Tensor
    window: Tensor
    short: Tensor
    missing: Tensor


@dataclass(frozen=True, slots=True)
class Extras:
    """What may go with the vectors; None stands for: all ones, no thresholds, no segments, unscaled."""

    weights: Tensor | None = None  # [TR] float32, not negative
    taus: Tensor | None = None  # [K] float32
    segments: Tensor | None = None  # [TC] int32
    r_scale: Tensor | None = None  # [TR] float32: row i of R stands for R[i] * r_scale[i], as fp8 rows do
    c_scale: Tensor | None = None  # [TC] float32
    normalise: bool = False


@dataclass(frozen=True, slots=True)
class Tiling:
    """How the work is cut: rows and columns a tile, warps a program, tiles in flight, programs to share a context."""

    rows: int
    columns: int
    warps: int
    stages: int
    splits: int = 1


PLAIN = Extras()


def ragged_maxsim_stats_torch(
    r: Tensor,
    c: Tensor,
    r_ends: Tensor,
    c_ends: Tensor,
    extras: Extras = PLAIN,
    *,
    longest: tuple[int, int] | None = None,  # noqa: ARG001 - what the kernel is spared, the reference does not need
) -> Stats:
    """The reference: one matrix product a pair. Contract as `ragged_maxsim_stats`."""
    check(r, c, r_ends, c_ends, extras)
    best = torch.full((r.shape[0],), -torch.inf, dtype=torch.float32, device=r.device)
    where = torch.full((r.shape[0],), -1, dtype=torch.int32, device=r.device)
    left, right = _vectors(r, extras.r_scale, extras), _vectors(c, extras.c_scale, extras)
    for (r0, r1), (c0, c1) in zip(spans(r_ends), spans(c_ends), strict=True):
        if r1 > r0 and c1 > c0:
            scores = (left[r0:r1] @ right[c0:c1].T).float()
            best[r0:r1] = scores.amax(1)
            where[r0:r1] = c0 + scores.argmax(1).int()
    weights = extras.weights if extras.weights is not None else torch.ones_like(best)
    taus = extras.taus if extras.taus is not None else best.new_empty(0)
    rows = [_statistics(best[r0:r1], weights[r0:r1], taus) for r0, r1 in spans(r_ends)]
    numbers = torch.stack(rows) if rows else best.new_empty(0, 4 + 2 * len(taus))
    return _stats(best, where, numbers, extras)


def _vectors(x: Tensor, scale: Tensor | None, extras: Extras) -> Tensor:
    if x.dtype.itemsize == 1:
        x = x.float()
    if scale is not None:
        x = (x * scale[:, None]).to(x.dtype)
    return x / x.norm(dim=1, keepdim=True).clamp_min(1e-12) if extras.normalise else x


def _statistics(s: Tensor, w: Tensor, taus: Tensor) -> Tensor:
    """[4 + 2K]: mean, least, weighted, window, short, missing of one response."""
    if not len(s):
        zero = s.new_zeros(1)
        return torch.cat([zero, zero + torch.inf, zero, zero + torch.inf, s.new_zeros(2 * len(taus))])
    counted = w > 0
    mean = s.mean()
    weighted = torch.where(counted, w * s, 0).sum() / w.sum() if counted.any() else mean
    window = s.unfold(0, WINDOW.value, 1).mean(1).min() if len(s) >= WINDOW.value else mean
    gaps = (taus - s[:, None]).relu()
    short = ((s[:, None] < taus) & counted[:, None]).sum(0)
    missing = torch.where(counted[:, None], w[:, None] * gaps, 0).sum(0)
    return torch.cat([torch.stack([mean, s.min(), weighted, window]), short.float(), missing])


def _stats(best: Tensor, where: Tensor, numbers: Tensor, extras: Extras) -> Stats:
    k = (numbers.shape[1] - 4) // 2
    source = None
    if extras.segments is not None and len(extras.segments):
        source = torch.where(where >= 0, extras.segments[where.clamp(min=0).long()], -1)
    elif extras.segments is not None:
        source = where.clone()
    mean, least, weighted, window = numbers[:, :4].unbind(1)
    short, missing = numbers[:, 4 : 4 + k].round().int(), numbers[:, 4 + k :]
    return Stats(best, where, source, mean, least, weighted, window, short, missing)


def check(r: Tensor, c: Tensor, r_ends: Tensor, c_ends: Tensor, extras: Extras) -> None:
    """Raise `ValueError` unless the arguments fit together. Reads shapes and types only, never the device."""
    if r.ndim != 2 or c.ndim != 2 or r.shape[1] != c.shape[1]:
        raise ValueError(f"r and c must be [tokens, d] with one d, not {list(r.shape)} and {list(c.shape)}")
    if r.dtype != c.dtype or not r.is_floating_point():
        raise ValueError(f"r and c must share a floating dtype, not {r.dtype} and {c.dtype}")
    if r_ends.ndim != 1 or r_ends.shape != c_ends.shape or len(r_ends) == 0:
        raise ValueError(f"ends must be two [pairs + 1] vectors, not {list(r_ends.shape)} and {list(c_ends.shape)}")
    if r_ends.dtype != torch.int32 or c_ends.dtype != torch.int32:
        raise ValueError(f"ends must be int32, not {r_ends.dtype} and {c_ends.dtype}")
    _fits("weights", extras.weights, torch.float32, len(r))
    _fits("r_scale", extras.r_scale, torch.float32, len(r))
    _fits("c_scale", extras.c_scale, torch.float32, len(c))
    _fits("segments", extras.segments, torch.int32, len(c))
    _fits("taus", extras.taus, torch.float32, None)


def _fits(name: str, x: Tensor | None, dtype: torch.dtype, length: int | None) -> None:
    if x is None:
        return
    if x.ndim != 1 or x.dtype != dtype or (length is not None and len(x) != length):
        raise ValueError(f"{name} must be {dtype} [{'K' if length is None else length}], not {x.dtype} {list(x.shape)}")


# The math…


@triton.jit
def improved(best, where, scores, start):
    """`best` and `where` of rows after one more tile of `scores`. The first of equals stays."""
    top, at = tl.max(scores, axis=1, return_indices=True, return_indices_tie_break_left=True)
    better = top > best
    return tl.where(better, top, best), tl.where(better, start + at, where)


@triton.jit
def shortfall(s, w, taus):
    """[T] similarities and weights, [K] thresholds -> [T, K] whether short, [T, K] weighted gaps."""
    counted = w > 0
    held = tl.where(counted, s, 0.0)  # no weight times -inf is not a number
    gap = tl.maximum(taus[None, :] - held[:, None], 0.0)
    return counted[:, None] & (s[:, None] < taus[None, :]), w[:, None] * gap


# Loads and stores…


@triton.jit
def _matched(
    R, C, C_SCALE, rows, inside, first, last,
    r_stride, c_stride,
    HIGH: tl.constexpr, LOW: tl.constexpr, COLUMNS: tl.constexpr,
    NORMALISE: tl.constexpr, SCALED: tl.constexpr, PRECISION: tl.constexpr, INTERPRETED: tl.constexpr,
):  # fmt: skip
    """Best of `rows` over context rows `first:last`, before the rows' own norm and scale; and their squared norms."""
    high, low = tl.arange(0, HIGH), HIGH + tl.arange(0, LOW if LOW else HIGH)  # noqa: FURB110 - device code has no `or`
    left = R + rows[:, None].to(tl.int64) * r_stride
    r_high = tl.load(left + high[None, :], inside[:, None], 0.0)
    r_low = tl.load(left + low[None, :], inside[:, None], 0.0) if LOW else r_high
    norm = tl.zeros_like(rows).to(tl.float32)
    if NORMALISE:
        norm += squares(r_high, 1)
        if LOW:
            norm += squares(r_low, 1)
    best = tl.zeros_like(norm) + float("-inf")
    where = tl.zeros_like(rows) - 1
    for start in range(first, last, COLUMNS):
        columns = start + tl.arange(0, COLUMNS)
        there = columns < last
        right = C + columns[None, :].to(tl.int64) * c_stride
        c_high = tl.load(right + high[:, None], there[None, :], 0.0)
        scores = tl.zeros([rows.shape[0], COLUMNS], tl.float32)
        scores = product(r_high, c_high, scores, PRECISION, INTERPRETED)
        norms = squares(c_high, 0) if NORMALISE else tl.zeros_like(columns).to(tl.float32)
        if LOW:
            c_low = tl.load(right + low[:, None], there[None, :], 0.0)
            scores = product(r_low, c_low, scores, PRECISION, INTERPRETED)
            if NORMALISE:
                norms += squares(c_low, 0)
        if NORMALISE:  # which swallows the scale as well
            scores *= (1 / tl.maximum(tl.sqrt(norms), 1e-12))[None, :]
        elif SCALED:
            scores *= tl.load(C_SCALE + columns, there, 0.0)[None, :]
        best, where = improved(best, where, tl.where(there[None, :], scores, float("-inf")), start)
    return best, where, norm


@triton.jit
def _concluded(
    KEYS, W, TAUS, BEST, WHERE, NUMBERS, r0, r1, k,
    TOKENS: tl.constexpr, K: tl.constexpr, WEIGHTED: tl.constexpr, SPAN: tl.constexpr,
):  # fmt: skip
    """The statistics of one response, whose keys are all in. `.cg`: the first-level cache may hold old ones."""
    taus = tl.load(TAUS + tl.arange(0, K), tl.arange(0, K) < k, 0.0)
    short, missing = tl.zeros([K], tl.float32), tl.zeros([K], tl.float32)
    total, weight, weighted = 0.0, 0.0, 0.0
    least, window = float("inf"), float("inf")
    for start in range(r0, r1, TOKENS):
        tokens = start + tl.arange(0, TOKENS)
        inside = tokens < r1
        s, where = unkeyed(tl.load(KEYS + tokens, inside, 0, cache_modifier=".cg"))
        tl.store(BEST + tokens, s, inside)
        tl.store(WHERE + tokens, where, inside)
        w = tl.load(W + tokens, inside, 0.0) if WEIGHTED else inside.to(tl.float32)
        total += tl.sum(tl.where(inside, s, 0.0))
        least = tl.minimum(least, tl.min(tl.where(inside, s, float("inf"))))
        weight += tl.sum(w)
        weighted += tl.sum(w * tl.where(w > 0, s, 0.0))
        below, gaps = shortfall(s, w, taus)
        short += tl.sum(below.to(tl.float32), axis=0)
        missing += tl.sum(gaps, axis=0)
        near = tl.where(inside, s, 0.0)
        for step in tl.static_range(1, SPAN):
            later = tl.load(KEYS + tokens + step, tokens + step < r1, 0, cache_modifier=".cg")
            near += tl.where(tokens + step < r1, unkeyed(later)[0], 0.0)
        whole = tokens + SPAN <= r1
        window = tl.minimum(window, tl.min(tl.where(whole, near / SPAN, float("inf"))))
    length = (r1 - r0).to(tl.float32)
    mean = total / tl.maximum(length, 1.0)
    tl.store(NUMBERS, mean)
    tl.store(NUMBERS + 1, least)
    tl.store(NUMBERS + 2, tl.where(weight > 0, weighted / tl.where(weight > 0, weight, 1.0), mean))
    tl.store(NUMBERS + 3, tl.where((length < SPAN) & (length > 0), mean, window))
    tl.store(NUMBERS + 4 + tl.arange(0, K), short, tl.arange(0, K) < k)
    tl.store(NUMBERS + 4 + k + tl.arange(0, K), missing, tl.arange(0, K) < k)


@triton.jit
def _ragged_maxsim_stats(
    R, C, R_ENDS, C_ENDS, R_SCALE, C_SCALE, W, TAUS,
    KEYS, DONE, BEST, WHERE, NUMBERS,
    r_stride, c_stride, k, tiles,
    HIGH: tl.constexpr, LOW: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, SPLITS: tl.constexpr,
    TOKENS: tl.constexpr, K: tl.constexpr, SPAN: tl.constexpr,
    NORMALISE: tl.constexpr, SCALED: tl.constexpr, WEIGHTED: tl.constexpr,
    PRECISION: tl.constexpr, INTERPRETED: tl.constexpr,
):  # fmt: skip
    # Programs of one pair are neighbours, so that its context is read from memory once and then from cache.
    pair, tile, split = (
        tl.program_id(0) // (tiles * SPLITS),
        tl.program_id(0) // SPLITS % tiles,
        tl.program_id(0) % SPLITS,
    )
    r0, r1 = tl.load(R_ENDS + pair), tl.load(R_ENDS + pair + 1)
    c0, c1 = tl.load(C_ENDS + pair), tl.load(C_ENDS + pair + 1)
    live = tl.maximum(tl.cdiv(r1 - r0, ROWS), 1)  # an empty response has one program, which says so
    if tile < live:
        rows = r0 + tile * ROWS + tl.arange(0, ROWS)
        inside = rows < r1
        share = tl.cdiv(tl.cdiv(c1 - c0, SPLITS), COLUMNS) * COLUMNS
        first = tl.minimum(c0 + split * share, c1)
        last = tl.where(r1 > r0, tl.minimum(first + share, c1), first)
        best, where, norm = _matched(
            R, C, C_SCALE, rows, inside, first, last, r_stride, c_stride,
            HIGH, LOW, COLUMNS, NORMALISE, SCALED, PRECISION, INTERPRETED,
        )  # fmt: skip
        if NORMALISE:
            best *= 1 / tl.maximum(tl.sqrt(norm), 1e-12)
        elif SCALED:
            best *= tl.load(R_SCALE + rows, inside, 1.0)
        if SPLITS == 1:
            tl.store(KEYS + rows, key(best, where), inside)
        else:
            tl.atomic_max(KEYS + rows, key(best, where), inside)
        tl.debug_barrier()  # every warp's keys are written before this program counts itself
        if tl.atomic_add(DONE + pair, 1) == live * SPLITS - 1:
            _concluded(KEYS, W, TAUS, BEST, WHERE, NUMBERS + pair * (4 + 2 * k), r0, r1, k, TOKENS, K, WEIGHTED, SPAN)


# The launcher…


def ragged_maxsim_stats(
    r: Tensor,
    c: Tensor,
    r_ends: Tensor,
    c_ends: Tensor,
    extras: Extras = PLAIN,
    *,
    longest: tuple[int, int] | None = None,
    tiling: Tiling | None = None,
) -> Stats:
    """Match every token of packed responses `r` [TR, d] to the context `c` [TC, d] of its own pair; see the module.

    One floating dtype (float32, bfloat16, float16, float8_e4m3fn), unit stride in the last dimension, d the sum of two
    powers of two from 64 up (128, 256, 384, 768, …). `r_ends` and `c_ends` are int32 [P + 1], rising from 0. `longest`
    is the length of the longest response and of the longest context; left out, it is read back from the device.
    Raises `ValueError` where shapes or types do not fit.
    """
    check(r, c, r_ends, c_ends, extras)
    high, low = halves(r.shape[1])
    if r.stride(1) != 1 or c.stride(1) != 1:
        raise ValueError("the last dimension of r and c must be contiguous")
    pairs = len(r_ends) - 1
    taus = extras.taus if extras.taus is not None else r.new_empty(0, dtype=torch.float32)
    best = torch.empty(len(r), dtype=torch.float32, device=r.device)
    where = torch.empty(len(r), dtype=torch.int32, device=r.device)
    numbers = torch.empty(pairs, 4 + 2 * len(taus), dtype=torch.float32, device=r.device)
    if pairs:
        rows, columns = longest or (int(r_ends.diff().max()), int(c_ends.diff().max()))
        cut = tiling or chosen(r, pairs, rows, columns)
        tiles = max(triton.cdiv(rows, cut.rows), 1)
        scaled = extras.r_scale is not None or extras.c_scale is not None
        _ragged_maxsim_stats[(pairs * tiles * cut.splits,)](
            r, c, r_ends, c_ends, _or_ones(extras.r_scale, r, scaled), _or_ones(extras.c_scale, c, scaled),
            extras.weights if extras.weights is not None else best, taus,
            torch.full((len(r),), NOTHING.value, dtype=torch.int64, device=r.device),
            torch.zeros(pairs, dtype=torch.int32, device=r.device), best, where, numbers,
            r.stride(0), c.stride(0), len(taus), tiles,
            HIGH=high, LOW=low, ROWS=cut.rows, COLUMNS=cut.columns, SPLITS=cut.splits,
            TOKENS=128, K=triton.next_power_of_2(max(len(taus), 1)), SPAN=WINDOW.value,
            NORMALISE=extras.normalise, SCALED=scaled, WEIGHTED=extras.weights is not None,
            PRECISION=precision(r), INTERPRETED=interpreted(r),
            num_warps=cut.warps, num_stages=cut.stages,
        )  # fmt: skip
    return _stats(best, where, numbers, extras)


def _or_ones(scale: Tensor | None, x: Tensor, scaled: bool) -> Tensor:
    """Where only one side is scaled the other needs its ones; where none is, any pointer will do."""
    if scale is not None:
        return scale
    return torch.ones(len(x) if scaled else 1, dtype=torch.float32, device=x.device)


def chosen(r: Tensor, pairs: int, rows: int, columns: int) -> Tiling:
    """The tiling for a batch: response tiles stay in shared memory, so wide rows leave room for narrower tiles.

    Contexts are shared out among programs where there are too few pairs to fill the device.
    """
    width = r.shape[1] * r.dtype.itemsize
    tall = 128 if rows > 64 and width <= 768 else 64 if width <= 1536 else 32
    wide = 128 if width <= 512 else 64 if width <= 768 else 32
    cut = Tiling(tall, wide, warps=8 if tall == 128 else 4, stages=3 if width <= 256 else 2)
    programs = pairs * max(triton.cdiv(rows, tall), 1)
    splits = min(triton.cdiv(2 * processors(r.device), programs), triton.cdiv(columns, 4 * wide))
    return Tiling(tall, wide, cut.warps, cut.stages, 1 << max(splits, 1).bit_length() - 1)
