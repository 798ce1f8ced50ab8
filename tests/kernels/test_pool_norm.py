import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from kernels.pool_norm import pool_norm, pool_norm_torch
from kernels.testing import assert_close
from kernels.tile import packed

LENGTHS = [1, 0, 13, 67, 16]


def rows(total: int, d: int, device: str, seed: int = 1) -> Tensor:
    return torch.randn(total, d, generator=torch.Generator().manual_seed(seed)).to(device)


@pytest.mark.parametrize("d", [64, 128, 192, 384, 768])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("masked", [False, True])
def test_agrees_with_torch_on_ragged_segments(d: int, dtype: torch.dtype, masked: bool, device: str) -> None:
    x, ends = rows(sum(LENGTHS), d, device), packed(LENGTHS, device)
    weights = (torch.arange(len(x), device=device) % 3 != 0).float() if masked else None

    pooled, tokens = pool_norm(x.to(dtype), ends, weights, tokens=True)

    torchs, truth = (
        pool_norm_torch(x.to(dtype), ends, weights, tokens=True),
        pool_norm_torch(x, ends, weights, tokens=True),
    )
    assert tokens is not None
    assert torchs[1] is not None
    assert truth[1] is not None
    assert pooled.dtype == tokens.dtype == dtype
    assert_close(pooled, torchs[0], truth[0])
    assert_close(tokens, torchs[1], truth[1])


def test_results_may_be_cast(device: str) -> None:
    x, ends = rows(20, 64, device), packed([20], device)

    pooled, tokens = pool_norm(x, ends, dtype=torch.bfloat16)

    assert tokens is None
    assert pooled.dtype == torch.bfloat16
    assert_close(pooled, pool_norm_torch(x, ends, dtype=torch.bfloat16)[0], pool_norm_torch(x, ends)[0])


def test_what_has_no_direction_is_zero(device: str) -> None:
    x = torch.zeros(3, 64, device=device)
    x[2] = 1

    pooled, tokens = pool_norm(x, packed([2, 0, 1], device), torch.tensor([1.0, 1.0, 0.0], device=device), tokens=True)

    assert tokens is not None
    assert not pooled.any()
    assert tokens.norm(dim=1).tolist() == pytest.approx([0, 0, 1])


def test_rows_need_not_be_packed_tightly(device: str) -> None:
    wide, ends = rows(20, 128, device), packed([7, 13], device)

    pooled, _ = pool_norm(wide[:, 64:], ends)

    truth, _ = pool_norm_torch(wide[:, 64:].contiguous(), ends)
    assert_close(pooled, truth, truth, scale=1)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 40), max_size=5), st.integers(0, 9))
def test_agrees_with_torch_on_any_lengths(lengths: list[int], seed: int) -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    x, ends = rows(sum(lengths), 64, device, seed), packed(lengths, device)

    pooled, _ = pool_norm(x, ends)

    assert_close(pooled, pool_norm_torch(x, ends)[0], pool_norm_torch(x, ends)[0], scale=1)


def test_arguments_that_do_not_fit_are_refused(device: str) -> None:
    x, ends = rows(4, 64, device), packed([4], device)
    with pytest.raises(ValueError, match="x must be"):
        pool_norm(x[0], ends)
    with pytest.raises(ValueError, match="ends must be"):
        pool_norm(x, ends.long())
    with pytest.raises(ValueError, match="weights must be"):
        pool_norm(x, ends, torch.ones(3, device=device))
    with pytest.raises(ValueError, match="contiguous"):
        pool_norm(rows(64, 64, device).T, packed([64], device))
