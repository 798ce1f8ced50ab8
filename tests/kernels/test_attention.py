import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from kernels.attention import varlen_attention, varlen_attention_torch
from kernels.testing import assert_close
from kernels.tile import packed

LENGTHS = [1, 67, 0, 13, 130]


def qkv(tokens: int, heads: int, width: int, device: str, seed: int = 1) -> Tensor:
    return torch.randn(tokens, 3, heads, width, generator=torch.Generator().manual_seed(seed)).to(device)


@pytest.mark.parametrize("width", [16, 32, 64, 128])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_agrees_with_torch_on_ragged_sequences(width: int, dtype: torch.dtype, device: str) -> None:
    x, ends = qkv(sum(LENGTHS), 2, width, device).to(dtype), packed(LENGTHS, device)

    got = varlen_attention(x, ends)

    assert got.dtype == dtype
    assert_close(got, varlen_attention_torch(x, ends), varlen_attention_torch(x.float(), ends))


def test_a_sequence_does_not_see_its_neighbours(device: str) -> None:
    x, ends = qkv(30, 2, 32, device), packed([10, 20], device)
    other = x.clone()
    other[10:] = 5

    assert torch.equal(varlen_attention(x, ends)[:10], varlen_attention(other, ends)[:10])


def test_sharp_attention_does_not_overflow(device: str) -> None:
    x, ends = qkv(40, 1, 32, device) * 100, packed([40], device)

    got = varlen_attention(x, ends)

    assert_close(got, varlen_attention_torch(x, ends), varlen_attention_torch(x.double(), ends))


def test_no_sequences_give_nothing(device: str) -> None:
    for lengths in ([], [0, 0]):
        assert varlen_attention(qkv(0, 2, 32, device), packed(lengths, device)).shape == (0, 64)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 90), max_size=4), st.integers(1, 3), st.integers(0, 9))
def test_agrees_with_torch_on_any_lengths(lengths: list[int], heads: int, seed: int) -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    x, ends = qkv(sum(lengths), heads, 16, device, seed), packed(lengths, device)

    truth = varlen_attention_torch(x.double(), ends)
    assert_close(varlen_attention(x, ends), varlen_attention_torch(x, ends), truth, scale=1)


def test_arguments_that_do_not_fit_are_refused(device: str) -> None:
    ends = packed([4], device)
    with pytest.raises(ValueError, match="qkv must be"):
        varlen_attention(qkv(4, 2, 32, device)[:, :2], ends)
    with pytest.raises(ValueError, match="a head must be"):
        varlen_attention(qkv(4, 2, 24, device), ends)
    with pytest.raises(ValueError, match="ends must be"):
        varlen_attention(qkv(4, 2, 32, device), ends.long())
    with pytest.raises(ValueError, match="contiguous"):
        varlen_attention(qkv(4, 2, 64, device)[..., ::2], ends)
