import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from kernels.similarity import Rows, quantised, similarity_topk, similarity_topk_torch
from kernels.testing import assert_close


def unit(rows: int, d: int, seed: int, device: str) -> Tensor:
    noise = torch.randn(rows, d, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(noise, dim=1).to(device)


@pytest.mark.parametrize("d", [64, 128, 384, 768])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("k", [1, 5])
def test_agrees_with_torch(d: int, dtype: torch.dtype, k: int, device: str) -> None:
    q, b = unit(3, d, 1, device), unit(311, d, 2, device)
    taus = torch.tensor([0.0, 0.1], device=device)

    got = similarity_topk(Rows(q.to(dtype)), Rows(b.to(dtype)), k, taus)

    low = Rows(q.to(dtype)), Rows(b.to(dtype))
    truth = similarity_topk_torch(Rows(low[0].vectors.float()), Rows(low[1].vectors.float()), k, taus)
    assert_close(got.values, similarity_topk_torch(*low, k, taus).values, truth.values)
    attained = (low[0].vectors.float()[:, None] * low[1].vectors.float()[got.places.long()]).sum(2)
    assert_close(attained, truth.values, truth.values, scale=1)
    assert torch.equal(got.counts, truth.counts)


@pytest.mark.parametrize("dtype", [torch.int8, torch.float8_e4m3fn])
@pytest.mark.parametrize("d", [64, 384])
def test_quantised_rows_are_as_good_as_their_quantisation(d: int, dtype: torch.dtype, device: str) -> None:
    q, b = unit(5, d, 1, device), unit(150, d, 2, device)
    small = quantised(q, dtype), quantised(b, dtype)

    got = similarity_topk(*small, 4)

    torchs = similarity_topk_torch(*small, 4)
    assert_close(got.values, torchs.values, torchs.values, scale=1)
    assert_close(got.values, torchs.values, similarity_topk_torch(Rows(q), Rows(b), 4).values)


@pytest.mark.parametrize("shares", [1, 2, 7])
def test_the_result_does_not_depend_on_how_the_bank_is_shared_out(shares: int, device: str) -> None:
    q, b, taus = Rows(unit(20, 64, 1, device)), Rows(unit(500, 64, 2, device)), torch.tensor([0.1], device=device)

    got, plain = similarity_topk(q, b, 3, taus, shares=shares), similarity_topk_torch(q, b, 3, taus)

    assert torch.equal(got.places, plain.places)
    assert torch.equal(got.counts, plain.counts)


def test_among_equals_the_earlier_row_is_first(device: str) -> None:
    q = unit(1, 64, 1, device)

    got = similarity_topk(Rows(q), Rows(q.repeat(300, 1)), 4, shares=3)

    assert got.places.tolist() == [[0, 1, 2, 3]]


def test_a_bank_with_fewer_rows_than_asked_leaves_the_rest_empty(device: str) -> None:
    q = unit(2, 64, 1, device)
    for rows in (0, 2):
        got = similarity_topk(Rows(q), Rows(-q[:rows]), 5)
        assert (got.places >= 0).sum(1).tolist() == [rows, rows]
        assert got.values.isneginf().sum(1).tolist() == [5 - rows, 5 - rows]
        assert got.places[:, rows:].tolist() == [[-1] * (5 - rows)] * 2


def test_no_queries_have_no_neighbours(device: str) -> None:
    got = similarity_topk(Rows(unit(0, 64, 1, device)), Rows(unit(3, 64, 2, device)), 2)
    assert got.values.shape == got.places.shape == (0, 2)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 40), st.integers(0, 200), st.integers(1, 9), st.integers(1, 4), st.integers(0, 9))
def test_agrees_with_torch_on_any_sizes(queries: int, rows: int, k: int, shares: int, seed: int) -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    q, b = Rows(unit(queries, 64, seed, device)), Rows(unit(rows, 64, seed + 1, device))

    got, plain = similarity_topk(q, b, k, shares=shares), similarity_topk_torch(q, b, k)

    assert_close(got.values, plain.values, plain.values, scale=1)


def test_arguments_that_do_not_fit_are_refused(device: str) -> None:
    q = unit(2, 64, 1, device)
    with pytest.raises(ValueError, match="one dtype"):
        similarity_topk(Rows(q), Rows(q.half()), 1)
    with pytest.raises(ValueError, match="scale must be"):
        similarity_topk(Rows(q, torch.ones(3, device=device)), Rows(q), 1)
    with pytest.raises(ValueError, match="k must be"):
        similarity_topk(Rows(q), Rows(q), 65)
    with pytest.raises(ValueError, match="taus must be"):
        similarity_topk(Rows(q), Rows(q), 1, torch.tensor([1], device=device))
    with pytest.raises(ValueError, match="contiguous"):
        similarity_topk(Rows(unit(64, 64, 1, device).T), Rows(q), 1)
    with pytest.raises(ValueError, match="int8 or"):
        quantised(q, torch.int16)
