import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from kernels.testing import assert_close
from kernels.token_stats import TokenStats, from_top_logprobs, token_stats, token_stats_torch

NAMES = ("nll", "entropy", "mass", "gap")


def logits(rows: int, width: int, seed: int, device: str, spread: float = 3.0) -> Tensor:
    return (torch.randn(rows, width, generator=torch.Generator().manual_seed(seed)) * spread).to(device)


def assert_same(got: TokenStats, torchs: TokenStats, truth: TokenStats) -> None:
    for name in NAMES:
        assert_close(getattr(got, name), getattr(torchs, name), getattr(truth, name), scale=1)


@pytest.mark.parametrize("width", [2, 13, 1311, 5000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("k", [1, 2, 5])
def test_agrees_with_torch(width: int, dtype: torch.dtype, k: int, device: str) -> None:
    z = logits(3, width, 1, device).to(dtype)
    chosen, k = torch.tensor([0, width - 1, width // 2], device=device), min(k, width)

    got = token_stats(z, chosen, k)

    truth = token_stats_torch(z.double().float(), chosen, k)
    assert_same(got, truth, doubled(z, chosen, k))


def doubled(z: Tensor, chosen: Tensor, k: int) -> TokenStats:
    """The truth: float64."""
    logp = z.double().log_softmax(1)
    top = logp.exp().topk(max(k, 2), dim=1).values
    nll = -logp.gather(1, chosen.long()[:, None])[:, 0]
    return TokenStats(nll, torch.special.entr(logp.exp()).sum(1), top[:, :k].sum(1), top[:, 0] - top[:, 1])


def test_a_certain_token_has_no_entropy_and_an_even_spread_has_all(device: str) -> None:
    z = torch.full((2, 3000), -torch.inf, device=device)
    z[0, 2999] = 5
    z[1] = 7

    got = token_stats(z, torch.tensor([2999, 0], device=device), 4)

    assert got.nll.tolist() == pytest.approx([0, math.log(3000)], abs=1e-5)
    assert got.entropy.tolist() == pytest.approx([0, math.log(3000)], abs=1e-4)
    assert got.mass.tolist() == pytest.approx([1, 4 / 3000])
    assert got.gap.tolist() == pytest.approx([1, 0])


def test_large_logits_do_not_overflow(device: str) -> None:
    z = torch.tensor([[30000.0, 30001.0, -30000.0]], device=device)

    got = token_stats(z, torch.tensor([1], device=device), 2)

    assert got.nll.item() == pytest.approx(math.log1p(math.exp(-1)), abs=1e-2)
    assert got.mass.item() == pytest.approx(1)


def test_no_tokens_have_no_statistics(device: str) -> None:
    got = token_stats(logits(0, 10, 1, device), torch.zeros(0, dtype=torch.int64, device=device))
    assert got.nll.shape == (0,)


@settings(max_examples=15, deadline=None)
@given(st.integers(2, 70), st.integers(1, 8), st.integers(0, 9))
def test_agrees_with_torch_on_any_sizes(width: int, k: int, seed: int) -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    z, chosen = logits(2, width, seed, device), torch.tensor([seed % width, 0], device=device)

    assert_same(
        token_stats(z, chosen, min(k, width)),
        token_stats_torch(z, chosen, min(k, width)),
        doubled(z, chosen, min(k, width)),
    )


def test_top_logprobs_that_tell_everything_give_the_same_numbers() -> None:
    z, chosen = logits(4, 6, 2, "cpu"), torch.tensor([0, 1, 2, 3])
    whole = token_stats_torch(z, chosen, 3)
    logp = z.log_softmax(1)

    told = from_top_logprobs(logp.flip(1), logp.gather(1, chosen[:, None])[:, 0], 3)

    for name in NAMES:
        assert torch.allclose(getattr(told, name), getattr(whole, name), atol=1e-5)


@given(st.integers(1, 19), st.integers(0, 9))
def test_top_logprobs_never_overstate_the_entropy(n: int, seed: int) -> None:
    z = logits(3, 20, seed, "cpu")
    logp = z.log_softmax(1)
    whole = token_stats_torch(z, torch.zeros(3, dtype=torch.int64), 5)

    told = from_top_logprobs(logp.topk(n, dim=1).values, logp[:, 0], 5)

    assert (told.entropy <= whole.entropy + 1e-5).all()
    assert (told.mass <= whole.mass + 1e-5).all()


def test_missing_top_logprobs_count_for_nothing() -> None:
    told = from_top_logprobs(torch.tensor([[math.log(0.5), -torch.inf]]), torch.tensor([math.log(0.5)]))

    assert told.entropy.item() == pytest.approx(math.log(2))
    assert told.mass.item() == told.gap.item() == 0.5


def test_arguments_that_do_not_fit_are_refused(device: str) -> None:
    z, chosen = logits(2, 10, 1, device), torch.zeros(2, dtype=torch.int64, device=device)
    with pytest.raises(ValueError, match="logits must be"):
        token_stats(z[0], chosen)
    with pytest.raises(ValueError, match="chosen must be"):
        token_stats(z, chosen[:1])
    with pytest.raises(ValueError, match="k must be"):
        token_stats(z, chosen, 33)
    with pytest.raises(ValueError, match="contiguous"):
        token_stats(logits(10, 2, 1, device).T, chosen)
