"""The middle of an encoder's MLP: y = gelu(x + b), gelu(z) = z·(1 + erf(z / sqrt 2)) / 2, exact rather than by tanh.

x [T, d], b [d]. In fp32 whatever the dtype. Bytes: 2·b·T·d at b bytes an element: one read and one write, where torch
adds, writes, reads and writes again.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.tile import stored

BLOCK = 1024
_SQRT_HALF = tl.constexpr(0.7071067811865476)


def bias_gelu_torch(x: Tensor, bias: Tensor) -> Tensor:
    """The reference. Contract as `bias_gelu`."""
    check(x, bias)
    return torch.nn.functional.gelu(x + bias)


def check(x: Tensor, bias: Tensor) -> None:
    """Raise `ValueError` unless the arguments fit together."""
    if x.ndim != 2 or bias.shape != x.shape[1:] or bias.dtype != x.dtype or not x.is_floating_point():
        raise ValueError(f"x must be a floating [tokens, d] and bias [d], not {list(x.shape)} and {list(bias.shape)}")
    if not x.is_contiguous() or not bias.is_contiguous():
        raise ValueError("x and bias must be contiguous")


@triton.jit
def gelu(z):
    return 0.5 * z * (1.0 + tl.erf(z * _SQRT_HALF))


@triton.jit
def _bias_gelu(X, B, Y, n, d, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    z = tl.load(X + at, at < n, 0.0).to(tl.float32) + tl.load(B + at % d, at < n, 0.0).to(tl.float32)
    tl.store(Y + at, gelu(z).to(Y.dtype.element_ty), at < n)


def bias_gelu(x: Tensor, bias: Tensor) -> Tensor:
    """gelu(x + bias) for contiguous `x` [T, d] and `bias` [d] of one floating dtype; else `ValueError`."""
    check(x, bias)
    y = torch.empty(x.shape, dtype=stored(x.dtype, x), device=x.device)
    if x.numel():
        _bias_gelu[(triton.cdiv(x.numel(), BLOCK),)](x, bias, y, x.numel(), x.shape[1], BLOCK=BLOCK, num_warps=4)
    return y.to(x.dtype)
