from dataclasses import replace

import pytest
import torch
from torch import Tensor

from kernels.residual_norm import Norm, residual_norm, residual_norm_torch
from kernels.testing import assert_close


def noise(*shape: int, device: str, seed: int = 1) -> Tensor:
    return (torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * 3).to(device)


def norm(d: int, dtype: torch.dtype, device: str) -> Norm:
    return Norm(noise(d, device=device, seed=3).to(dtype), noise(d, device=device, seed=4).to(dtype), 1e-12)


@pytest.mark.parametrize("d", [2, 13, 384, 1311])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_agrees_with_torch(d: int, dtype: torch.dtype, device: str) -> None:
    x, residual = (noise(5, d, device=device, seed=seed).to(dtype) for seed in (1, 2))
    bias, learnt = noise(d, device=device, seed=5).to(dtype), norm(d, dtype, device)

    got = residual_norm(x, bias, residual, learnt)

    exact = Norm(learnt.gain.double(), learnt.shift.double(), learnt.epsilon)
    truth = residual_norm_torch(x.double(), bias.double(), residual.double(), exact)
    assert got.dtype == dtype
    assert_close(got, residual_norm_torch(x, bias, residual, learnt), truth)


def test_a_large_offset_costs_no_precision(device: str) -> None:
    x, zero = noise(3, 384, device=device) + 1000, torch.zeros(384, device=device)
    learnt = norm(384, torch.float32, device)

    got = residual_norm(x, zero, torch.zeros_like(x), learnt)

    truth = residual_norm_torch(
        x.double(), zero.double(), torch.zeros_like(x).double(),
        Norm(learnt.gain.double(), learnt.shift.double(), 1e-12),
    )  # fmt: skip
    assert (got - truth).abs().max() < 1e-3


def test_no_tokens_give_nothing(device: str) -> None:
    empty = noise(0, 8, device=device)
    assert residual_norm(empty, noise(8, device=device), empty, norm(8, torch.float32, device)).shape == (0, 8)


def test_arguments_that_do_not_fit_are_refused(device: str) -> None:
    x, bias, learnt = noise(4, 8, device=device), noise(8, device=device), norm(8, torch.float32, device)
    with pytest.raises(ValueError, match="x and residual must be"):
        residual_norm(x, bias, x[:2], learnt)
    with pytest.raises(ValueError, match="gain and shift"):
        residual_norm(x, bias, x, replace(learnt, gain=bias[:4]))
    with pytest.raises(ValueError, match="share a floating dtype"):
        residual_norm(x, bias.half(), x, learnt)
    with pytest.raises(ValueError, match="contiguous"):
        residual_norm(noise(8, 4, device=device).T, bias, x, learnt)
