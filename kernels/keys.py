"""A score and where it stands as one int64: the larger the better, so a maximum over keys settles both.

Integers compare the same in whatever order they arrive, which makes atomics and shared-out searches deterministic.
Among equal scores the smaller place wins.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

NOTHING = tl.constexpr((-0x7F800001 << 32) + 0x80000000)  # the key of -inf at -1
LOWEST = tl.constexpr(-(1 << 63))  # below every key


@triton.jit
def key(best, where):
    """(s, where) as one int64 that is larger for a larger s, and among equals for a smaller `where`."""
    bits = best.to(tl.int32, bitcast=True)
    ordered = bits ^ ((bits >> 31) & 0x7FFFFFFF)  # two's complement sorts as the floats do
    return (ordered.to(tl.int64) << 32) + (0x7FFFFFFF - where.to(tl.int64))


@triton.jit
def unkeyed(keys):
    """(s, where) again."""
    ordered = (keys >> 32).to(tl.int32)
    bits = ordered ^ ((ordered >> 31) & 0x7FFFFFFF)
    return bits.to(tl.float32, bitcast=True), (0x7FFFFFFF - (keys & 0xFFFFFFFF)).to(tl.int32)


@triton.jit
def merged(kept, fresh):
    """The best keys [KEPT, Q] of `kept` and `fresh` [N, Q], column by column. Keys of one column must be distinct."""
    worst, top = tl.min(kept, axis=0), tl.max(fresh, axis=0)
    while tl.max((top > worst).to(tl.int32), axis=0) > 0:
        kept = tl.where((top > worst)[None, :] & (kept == worst[None, :]), top[None, :], kept)
        fresh = tl.where(fresh == top[None, :], LOWEST, fresh)
        worst, top = tl.min(kept, axis=0), tl.max(fresh, axis=0)
    return kept


def unkeyed_torch(keys: Tensor) -> tuple[Tensor, Tensor]:
    """(scores, places) of int64 keys, float32 and int32."""
    ordered = (keys >> 32).int()
    scores = (ordered ^ ((ordered >> 31) & 0x7FFFFFFF)).view(torch.float32)
    return scores, (0x7FFFFFFF - (keys & 0xFFFFFFFF)).int()
