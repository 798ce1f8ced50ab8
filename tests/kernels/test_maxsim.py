import pytest
import torch
from torch import Tensor

from kernels.maxsim import ragged_maxsim, ragged_maxsim_torch
from kernels.testing import assert_close
from kernels.tile import packed

RAGGED = ([3, 0, 67, 1, 13], [5, 7, 131, 1, 0])  # an empty response, a pair of one token each, an empty context


def unit(rows: int, d: int, seed: int, device: str) -> Tensor:
    noise = torch.randn(rows, d, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(noise, dim=1).to(device)


@pytest.mark.parametrize("d", [64, 128, 256, 384, 768])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_agrees_with_torch_on_ragged_pairs(d: int, dtype: torch.dtype, device: str) -> None:
    lengths, against = RAGGED
    r, c = unit(sum(lengths), d, 1, device).to(dtype), unit(sum(against), d, 2, device).to(dtype)
    marks = packed(lengths, device), packed(against, device)

    best, where = ragged_maxsim(r, c, *marks)

    truth, right = ragged_maxsim_torch(r.float(), c.float(), *marks)
    assert_close(best, ragged_maxsim_torch(r, c, *marks)[0], truth)
    chosen = torch.where(where >= 0, (r.float() * c.float()[where.clamp(min=0).long()]).sum(1), -torch.inf)
    assert_close(chosen, truth, truth)  # the evidence attains the maximum, whichever of near-equals it is
    assert torch.equal(where < 0, right < 0)


def test_a_response_without_context_matches_nothing(device: str) -> None:
    best, where = ragged_maxsim(
        unit(2, 64, 1, device), unit(0, 64, 2, device), packed([2], device), packed([0], device)
    )

    assert best.tolist() == [-torch.inf, -torch.inf]
    assert where.tolist() == [-1, -1]


def test_no_pair_and_no_token_give_nothing(device: str) -> None:
    for lengths in ([], [0, 0]):
        marks = packed(lengths, device)
        best, where = ragged_maxsim(unit(0, 64, 1, device), unit(0, 64, 2, device), marks, marks)
        assert best.shape == where.shape == (0,)


def test_the_first_of_equal_matches_is_the_evidence(device: str) -> None:
    r = unit(1, 64, 1, device)
    c = r.repeat(150, 1)
    c[:3] = -r

    _, where = ragged_maxsim(r, c, packed([1], device), packed([150], device))

    assert where.tolist() == [3]


def test_negative_similarities_survive_the_tail_of_a_tile(device: str) -> None:
    r = unit(1, 64, 1, device)

    best, where = ragged_maxsim(r, -r.repeat(3, 1), packed([1], device), packed([3], device))

    assert best.item() == pytest.approx(-1)
    assert where.tolist() == [0]


def test_rows_need_not_be_packed_tightly(device: str) -> None:
    wide = unit(20, 128, 3, device)
    marks = packed([20], device)

    best, _ = ragged_maxsim(wide[:, :64], wide[:, 64:], marks, marks)

    truth = ragged_maxsim_torch(wide[:, :64].contiguous(), wide[:, 64:].contiguous(), marks, marks)[0]
    assert_close(best, truth, truth)


def test_arguments_that_do_not_fit_are_refused(device: str) -> None:
    r, marks = unit(4, 64, 1, device), packed([4], device)
    with pytest.raises(ValueError, match="one d"):
        ragged_maxsim(r, unit(4, 128, 2, device), marks, marks)
    with pytest.raises(ValueError, match="floating dtype"):
        ragged_maxsim(r, r.half(), marks, marks)
    with pytest.raises(ValueError, match="ends must be two"):
        ragged_maxsim(r, r, marks, packed([2, 2], device))
    with pytest.raises(ValueError, match="int32"):
        ragged_maxsim(r, r, marks.long(), marks.long())
    with pytest.raises(ValueError, match="multiple of 64"):
        ragged_maxsim(r[:, :40], r[:, :40], marks, marks)
    with pytest.raises(ValueError, match="contiguous"):
        ragged_maxsim(unit(64, 64, 1, device).T, unit(64, 64, 1, device).T, packed([64], device), packed([64], device))
