import pytest
import torch
from torch import Tensor

from kernels.bias_gelu import bias_gelu, bias_gelu_torch
from kernels.testing import assert_close


def noise(*shape: int, device: str, seed: int = 1) -> Tensor:
    return (torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * 3).to(device)


@pytest.mark.parametrize("shape", [(1, 1), (3, 13), (5, 1536), (67, 100)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_agrees_with_torch(shape: tuple[int, int], dtype: torch.dtype, device: str) -> None:
    x, bias = noise(*shape, device=device).to(dtype), noise(shape[1], device=device, seed=2).to(dtype)

    got = bias_gelu(x, bias)

    assert got.dtype == dtype
    assert_close(got, bias_gelu_torch(x, bias), bias_gelu_torch(x.double(), bias.double()))


def test_no_tokens_give_nothing(device: str) -> None:
    assert bias_gelu(noise(0, 8, device=device), noise(8, device=device)).shape == (0, 8)


def test_arguments_that_do_not_fit_are_refused(device: str) -> None:
    x = noise(4, 8, device=device)
    with pytest.raises(ValueError, match="x must be"):
        bias_gelu(x, x[0, :4])
    with pytest.raises(ValueError, match="contiguous"):
        bias_gelu(x.T, noise(4, device=device))
