"""The end of an encoder's block: y = LayerNorm(x + b + residual)·g + h, mean and variance in fp32, from registers.

x and residual [T, d], b, g and h [d]. Bytes: 3·b·T·d at b bytes an element: two reads and one write.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.tile import stored

WIDEST = 8192  # a row must fit in the registers of one program


@dataclass(frozen=True, slots=True)
class Norm:
    """What a layer norm learnt: `gain` and `shift` [d]; `epsilon` is added to the variance."""

    gain: Tensor
    shift: Tensor
    epsilon: float


def residual_norm_torch(x: Tensor, bias: Tensor, residual: Tensor, norm: Norm) -> Tensor:
    """The reference. Contract as `residual_norm`."""
    check(x, bias, residual, norm)
    return torch.nn.functional.layer_norm(x + bias + residual, bias.shape, norm.gain, norm.shift, norm.epsilon)


def check(x: Tensor, bias: Tensor, residual: Tensor, norm: Norm) -> None:
    """Raise `ValueError` unless the arguments fit together."""
    if x.ndim != 2 or residual.shape != x.shape or not 1 <= x.shape[1] <= WIDEST:
        raise ValueError(f"x and residual must be [tokens, d], not {list(x.shape)} and {list(residual.shape)}")
    if {bias.shape, norm.gain.shape, norm.shift.shape} != {x.shape[1:]}:
        raise ValueError(f"bias, gain and shift must be [{x.shape[1]}]")
    if {t.dtype for t in (residual, bias, norm.gain, norm.shift)} != {x.dtype} or not x.is_floating_point():
        raise ValueError("x, residual, bias, gain and shift must share a floating dtype")
    if not x.is_contiguous() or not residual.is_contiguous():
        raise ValueError("x and residual must be contiguous")


@triton.jit
def normalised(z, inside, d, epsilon):
    """`z` less its mean, over its deviation; the mean first, so that the variance loses nothing to cancellation."""
    away = tl.where(inside, z - tl.sum(z, axis=0) / d, 0.0)
    return away / tl.sqrt(tl.sum(away * away, axis=0) / d + epsilon)


@triton.jit
def _residual_norm(X, B, RESIDUAL, GAIN, SHIFT, Y, d, epsilon, D: tl.constexpr):
    at = tl.arange(0, D)
    inside = at < d
    row = tl.program_id(0).to(tl.int64) * d
    z = tl.load(X + row + at, inside, 0.0).to(tl.float32) + tl.load(B + at, inside, 0.0).to(tl.float32)
    z += tl.load(RESIDUAL + row + at, inside, 0.0).to(tl.float32)
    gain, shift = tl.load(GAIN + at, inside, 0.0).to(tl.float32), tl.load(SHIFT + at, inside, 0.0).to(tl.float32)
    y = normalised(z, inside, d, epsilon) * gain + shift
    tl.store(Y + row + at, y.to(Y.dtype.element_ty), inside)


def residual_norm(x: Tensor, bias: Tensor, residual: Tensor, norm: Norm) -> Tensor:
    """LayerNorm(x + bias + residual); contiguous `x` and `residual` [T, d] of one floating dtype, else `ValueError`."""
    check(x, bias, residual, norm)
    y = torch.empty(x.shape, dtype=stored(x.dtype, x), device=x.device)
    if len(x):
        width = triton.next_power_of_2(x.shape[1])
        _residual_norm[(len(x),)](
            x, bias, residual, norm.gain, norm.shift, y, x.shape[1], norm.epsilon,
            D=width, num_warps=max(1, min(8, width // 256)),
        )  # fmt: skip
    return y.to(x.dtype)
