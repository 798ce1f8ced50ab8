"""What ragged ops share: how packed rows are cut into pairs, how a width is cut without padding, products of tiles."""

from __future__ import annotations

from itertools import pairwise

import torch
import triton
import triton.language as tl
from torch import Tensor


def spans(ends: Tensor) -> list[tuple[int, int]]:
    """`[0, 3, 5]` as `[(0, 3), (3, 5)]`. Reads the tensor back from its device."""
    return list(pairwise(ends.tolist()))


def packed(lengths: list[int] | Tensor, device: torch.device | str = "cpu") -> Tensor:
    """Lengths `[3, 2]` as ends `[0, 3, 5]`, int32, on `device`."""
    ends = torch.as_tensor(lengths, dtype=torch.int32).cumsum(0, dtype=torch.int32)
    return torch.nn.functional.pad(ends, (1, 0)).to(device)


def halves(d: int) -> tuple[int, int]:
    """A width as the powers of two it is the sum of, the larger first: 384 is 256 + 128, 256 is 256 + 0.

    Tiles must be powers of two wide; padding 384 to 512 would waste a third of the work, two tiles waste none.
    Raises `ValueError` for a width that takes more than two, or that is not made of multiples of 64.
    """
    high = 1 << max(d, 1).bit_length() - 1
    low = d - high
    if d <= 0 or d % 64 or low & (low - 1):
        raise ValueError(f"d must be the sum of at most two powers of two from 64 up, not {d}")
    return high, low


def interpreted(x: Tensor) -> bool:
    """Whether a kernel over `x` runs under Triton's interpreter, whose dot takes bf16 for integers."""
    return x.device.type == "cpu"


def processors(device: torch.device) -> int:
    """How many multiprocessors share out the work."""
    if device.type != "cuda":
        return 1
    return int(torch.cuda.get_device_properties(device).multi_processor_count)


def stored(dtype: torch.dtype, x: Tensor) -> torch.dtype:
    """The dtype a kernel over `x` writes where `dtype` is asked for: the interpreter rounds wrongly, so torch must."""
    return torch.float32 if interpreted(x) else dtype


def precision(x: Tensor) -> str:
    """How `tl.dot` treats float32: exactly. Its default, TF32, is off by 3e-4."""
    return "ieee" if x.dtype == torch.float32 else "tf32"


@triton.jit
def product(left, right, total, PRECISION: tl.constexpr, INTERPRETED: tl.constexpr):
    """`total + left @ right`, accumulated in fp32."""
    if INTERPRETED:
        left, right = left.to(tl.float32), right.to(tl.float32)
    return tl.dot(left, right, total, input_precision=PRECISION)


@triton.jit
def squares(tile, AXIS: tl.constexpr):
    """Sums of squares along `AXIS`, in fp32."""
    wide = tile.to(tl.float32)
    return tl.sum(wide * wide, axis=AXIS)
