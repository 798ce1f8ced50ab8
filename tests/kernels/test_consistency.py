import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from kernels.consistency import pairwise_consistency, pairwise_consistency_torch
from kernels.testing import assert_close
from kernels.tile import packed


def unit(rows: int, d: int, seed: int, device: str) -> Tensor:
    noise = torch.randn(rows, d, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(noise, dim=1).to(device)


@pytest.mark.parametrize("d", [64, 128, 384, 768])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_agrees_with_torch_on_ragged_samples(d: int, dtype: torch.dtype, device: str) -> None:
    lengths = [3, 70, 1, 13, 0, 9]
    x, ends = unit(sum(lengths), d, 1, device), packed(lengths, device)

    got = pairwise_consistency(x.to(dtype), ends, 3, 0.1)

    torchs = pairwise_consistency_torch(x.to(dtype), ends, 3, 0.1)
    truth = pairwise_consistency_torch(x.to(dtype).float(), ends, 3, 0.1)
    for name in ("maxsim", "agreement"):
        assert_close(getattr(got, name), getattr(torchs, name), getattr(truth, name), scale=1)
    assert torch.equal(got.clusters, truth.clusters)
    assert_close(got.entropy, truth.entropy, truth.entropy)


def test_equal_samples_are_one_meaning_and_strangers_are_many(device: str) -> None:
    said, other = torch.eye(64, device=device)[:4], torch.eye(64, device=device)[10:14]

    alike = pairwise_consistency(torch.cat([said] * 4), packed([4] * 4, device), 4, 0.9)
    split = pairwise_consistency(torch.cat([said, other, said, other]), packed([4] * 4, device), 4, 0.9)

    assert (alike.agreement.item(), alike.entropy.item(), alike.clusters.tolist()) == (1, 0, [[0, 0, 0, 0]])
    assert split.agreement.item() == pytest.approx(1 / 3)
    assert split.entropy.item() == pytest.approx(math.log(2))
    assert split.clusters.tolist() == [[0, 1, 0, 1]]


def test_a_chain_of_neighbours_is_one_cluster(device: str) -> None:
    angles = torch.arange(5, dtype=torch.float32) * 0.5  # each 0.5 rad from the next, the ends 2 rad apart
    x = torch.zeros(5, 64)
    x[:, 0], x[:, 1] = angles.cos(), angles.sin()

    got = pairwise_consistency(x.to(device), packed([1] * 5, device), 5, 0.85)

    assert got.clusters.tolist() == [[0] * 5]


def test_similarity_must_hold_both_ways(device: str) -> None:
    tokens = torch.eye(64, device=device)[:5]  # one sample says one thing of the five that the other says

    got = pairwise_consistency(torch.cat([tokens[:1], tokens]), packed([1, 5], device), 2, 0.9)

    assert got.maxsim[0, 0, 1].item() == 1
    assert got.maxsim[0, 1, 0].item() == pytest.approx(0.2)
    assert got.clusters.tolist() == [[0, 1]]


def test_one_sample_agrees_with_itself(device: str) -> None:
    got = pairwise_consistency(unit(3, 64, 1, device), packed([3], device), 1, 0.5)

    assert (got.entropy.item(), got.agreement.item(), got.maxsim.item()) == (0, 0, 1)


def test_no_prompts_give_nothing(device: str) -> None:
    got = pairwise_consistency(unit(0, 64, 1, device), packed([], device), 3, 0.5)
    assert got.maxsim.shape == (0, 3, 3)
    assert got.entropy.shape == (0,)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 5), st.integers(0, 2), st.integers(0, 9), st.data())
def test_agrees_with_torch_on_any_sizes(n: int, prompts: int, seed: int, data: st.DataObject) -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    lengths = data.draw(st.lists(st.integers(0, 9), min_size=n * prompts, max_size=n * prompts))
    x, ends = unit(sum(lengths), 64, seed, device), packed(lengths, device)

    got, plain = (f(x, ends, n, 0.123) for f in (pairwise_consistency, pairwise_consistency_torch))

    assert_close(got.maxsim, plain.maxsim, plain.maxsim, scale=1)
    assert_close(got.agreement, plain.agreement, plain.agreement, scale=1)
    assert torch.equal(got.clusters, plain.clusters)
    assert_close(got.entropy, plain.entropy, plain.entropy, scale=1)


def test_arguments_that_do_not_fit_are_refused(device: str) -> None:
    x = unit(4, 64, 1, device)
    with pytest.raises(ValueError, match="x must be"):
        pairwise_consistency(x[0], packed([4], device), 1, 0.5)
    with pytest.raises(ValueError, match="ends must be"):
        pairwise_consistency(x, packed([2, 2], device), 3, 0.5)
    with pytest.raises(ValueError, match="n must be"):
        pairwise_consistency(x, packed([4], device), 0, 0.5)
    with pytest.raises(ValueError, match="contiguous"):
        pairwise_consistency(unit(64, 64, 1, device).T, packed([64], device), 1, 0.5)
