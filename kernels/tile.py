"""What ragged ops share: how packed rows are cut into pairs, and the product of two tiles."""

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


def interpreted(x: Tensor) -> bool:
    """Whether a kernel over `x` runs under Triton's interpreter, whose dot takes bf16 for integers."""
    return x.device.type == "cpu"


def precision(x: Tensor) -> str:
    """How `tl.dot` treats float32: exactly. Its default, TF32, is off by 3e-4."""
    return "ieee" if x.dtype == torch.float32 else "tf32"


@triton.jit
def product(left, right, total, PRECISION: tl.constexpr, INTERPRETED: tl.constexpr):
    """`total + left @ right`, accumulated in fp32."""
    if INTERPRETED:
        left, right = left.to(tl.float32), right.to(tl.float32)
    return tl.dot(left, right, total, input_precision=PRECISION)
