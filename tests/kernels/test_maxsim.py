from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from kernels.maxsim import PLAIN, Extras, Stats, Tiling, chosen, ragged_maxsim_stats, ragged_maxsim_stats_torch
from kernels.testing import assert_close
from kernels.tile import packed

RESPONSES = [3, 0, 67, 1, 13, 0]  # an empty response, one token each, an empty context, neither
CONTEXTS = [5, 7, 131, 1, 0, 0]
SMALL = Tiling(16, 16, warps=4, stages=1)


def unit(rows: int, d: int, seed: int, device: str) -> Tensor:
    noise = torch.randn(rows, d, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(noise, dim=1).to(device)


def extras(device: str, *, normalise: bool = False) -> Extras:
    dice = torch.Generator().manual_seed(3)
    weights = torch.rand(sum(RESPONSES), generator=dice) * (torch.rand(sum(RESPONSES), generator=dice) > 0.3)
    return Extras(
        weights=weights.to(device),
        taus=torch.tensor([0.05, 0.1, 0.2], device=device),
        segments=(torch.arange(sum(CONTEXTS), dtype=torch.int32) // 4).to(device),
        normalise=normalise,
    )


def ends(device: str) -> tuple[Tensor, Tensor]:
    return packed(RESPONSES, device), packed(CONTEXTS, device)


def floats(stats: Stats) -> dict[str, Tensor]:
    return {name: getattr(stats, name) for name in ("best", "mean", "least", "weighted", "window", "missing")}


def assert_same(got: Stats, torchs: Stats, truth: Stats) -> None:
    for name, value in floats(got).items():
        assert_close(value, floats(torchs)[name], floats(truth)[name], scale=1)


@pytest.mark.parametrize("d", [64, 128, 192, 256, 384, 768])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("normalise", [False, True])
def test_agrees_with_torch_on_ragged_pairs(d: int, dtype: torch.dtype, normalise: bool, device: str) -> None:
    scale = 3.0 if normalise else 1.0
    r = (unit(sum(RESPONSES), d, 1, device) * scale).to(dtype)
    c = (unit(sum(CONTEXTS), d, 2, device) * scale).to(dtype)
    more = extras(device, normalise=normalise)

    got = ragged_maxsim_stats(r, c, *ends(device), more)

    truth = ragged_maxsim_stats_torch(r.float(), c.float(), *ends(device), more)
    assert_same(got, ragged_maxsim_stats_torch(r, c, *ends(device), more), truth)
    left, right = (torch.nn.functional.normalize(x.float(), dim=1) if normalise else x.float() for x in (r, c))
    attained = torch.where(got.where >= 0, (left * right[got.where.clamp(min=0).long()]).sum(1), -torch.inf)
    assert_close(
        attained, truth.best, truth.best, scale=1
    )  # the evidence attains the maximum, whichever of near-equals it is
    assert got.source is not None
    assert got.source.tolist() == [w // 4 if w >= 0 else -1 for w in got.where.tolist()]


def test_counts_are_exact_where_no_similarity_is_near_a_threshold(device: str) -> None:
    c = torch.eye(64, device=device)[:3]
    r = torch.stack([c[0] * 0.9, c[1] * 0.5, c[2] * 0.1, c[0] * 0.3])
    more = Extras(torch.tensor([1.0, 2.0, 0.0, 4.0], device=device), torch.tensor([0.4, 0.8], device=device))

    got = ragged_maxsim_stats(r, c, packed([4], device), packed([3], device), more)

    assert got.short.tolist() == [[1, 2]]  # the token of no weight is not counted
    assert got.missing[0].tolist() == pytest.approx([4 * 0.1, 2 * 0.3 + 4 * 0.5])
    assert got.weighted.item() == pytest.approx((0.9 + 2 * 0.5 + 4 * 0.3) / 7)
    assert got.window.item() == got.mean.item() == pytest.approx(0.45)
    assert got.where.tolist() == [0, 1, 2, 0]


def test_the_worst_window_is_found_wherever_it_lies(device: str) -> None:
    c = torch.eye(64, device=device)[:1]
    for at in (0, 124, 126, 295):  # across the blocks in which statistics are taken, too
        s = torch.full((300,), 0.9, device=device)
        s[at : at + 5] = 0.2
        got = ragged_maxsim_stats(s[:, None] * c, c, packed([300], device), packed([1], device))
        assert got.window.item() == pytest.approx(0.2)


@pytest.mark.parametrize("splits", [1, 2, 8])
@pytest.mark.parametrize("tile", [(16, 16), (32, 64), (128, 32)])
def test_the_result_does_not_depend_on_how_the_work_is_cut(tile: tuple[int, int], splits: int, device: str) -> None:
    r, c = unit(sum(RESPONSES), 64, 1, device), unit(sum(CONTEXTS), 64, 2, device)
    cut = Tiling(*tile, warps=4, stages=1, splits=splits)

    got = ragged_maxsim_stats(r, c, *ends(device), extras(device), tiling=cut)

    plain = ragged_maxsim_stats_torch(r, c, *ends(device), extras(device))
    assert_same(got, plain, plain)
    assert torch.equal(got.where, plain.where)
    assert torch.equal(got.short, plain.short)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 40)), max_size=4), st.integers(1, 3), st.integers(0, 9))
def test_agrees_with_torch_on_any_lengths(lengths: list[tuple[int, int]], splits: int, seed: int) -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    marks = packed([a for a, _ in lengths], device), packed([b for _, b in lengths], device)
    r, c = unit(int(marks[0][-1]), 64, seed, device), unit(int(marks[1][-1]), 64, seed + 1, device)
    more = Extras(taus=torch.tensor([0.1], device=device))

    got = ragged_maxsim_stats(r, c, *marks, more, tiling=replace(SMALL, splits=splits))

    plain = ragged_maxsim_stats_torch(r, c, *marks, more)
    assert_same(got, plain, plain)
    assert torch.equal(got.where, plain.where)


def test_fp8_rows_with_scales_are_as_good_as_their_quantisation(device: str) -> None:
    r, c = unit(sum(RESPONSES), 128, 1, device), unit(sum(CONTEXTS), 128, 2, device)
    (r8, r_scale), (c8, c_scale) = quantised(r), quantised(c)
    more = replace(extras(device), r_scale=r_scale, c_scale=c_scale)

    got = ragged_maxsim_stats(r8, c8, *ends(device), more)

    truth = ragged_maxsim_stats_torch(r, c, *ends(device), extras(device))
    assert_same(got, ragged_maxsim_stats_torch(r8, c8, *ends(device), more), truth)


def quantised(x: Tensor) -> tuple[Tensor, Tensor]:
    scale = x.abs().amax(1) / 448
    return (x / scale[:, None]).to(torch.float8_e4m3fn), scale


@pytest.mark.parametrize("sides", ["r", "c"])
def test_one_side_may_be_scaled_alone(sides: str, device: str) -> None:
    r, c = unit(sum(RESPONSES), 64, 1, device), unit(sum(CONTEXTS), 64, 2, device)
    scale = torch.linspace(0.5, 2, len(r) if sides == "r" else len(c), device=device)
    more = Extras(r_scale=scale) if sides == "r" else Extras(c_scale=scale)

    got = ragged_maxsim_stats(r, c, *ends(device), more)

    plain = ragged_maxsim_stats_torch(r, c, *ends(device), more)
    assert_same(got, plain, plain)


def test_a_response_without_context_matches_nothing(device: str) -> None:
    got = ragged_maxsim_stats(unit(2, 64, 1, device), unit(0, 64, 2, device), packed([2], device), packed([0], device))

    assert got.best.tolist() == [-torch.inf, -torch.inf]
    assert got.where.tolist() == [-1, -1]
    assert got.mean.tolist() == got.least.tolist() == got.weighted.tolist() == got.window.tolist() == [-torch.inf]


def test_an_empty_response_says_so(device: str) -> None:
    got = ragged_maxsim_stats(unit(0, 64, 1, device), unit(3, 64, 2, device), packed([0], device), packed([3], device))

    assert (got.mean.item(), got.least.item(), got.weighted.item(), got.window.item()) == (0, torch.inf, 0, torch.inf)


def test_no_pairs_give_nothing(device: str) -> None:
    nothing = packed([], device)
    got = ragged_maxsim_stats(unit(0, 64, 1, device), unit(0, 64, 2, device), nothing, nothing, extras_of(0, device))

    assert got.best.shape == got.mean.shape == (0,)
    assert got.missing.shape == (0, 1)


def extras_of(rows: int, device: str) -> Extras:
    return Extras(
        torch.ones(rows, device=device),
        torch.tensor([0.5], device=device),
        torch.zeros(rows, dtype=torch.int32, device=device),
    )


@pytest.mark.parametrize("splits", [1, 4])
def test_the_first_of_equal_matches_is_the_evidence(splits: int, device: str) -> None:
    r = unit(1, 64, 1, device)
    c = r.repeat(150, 1)
    c[:3] = -r

    got = ragged_maxsim_stats(r, c, packed([1], device), packed([150], device), tiling=Tiling(16, 16, 4, 1, splits))

    assert got.where.tolist() == [3]


def test_negative_similarities_survive_the_tail_of_a_tile(device: str) -> None:
    r = unit(1, 64, 1, device)

    got = ragged_maxsim_stats(r, -r.repeat(3, 1), packed([1], device), packed([3], device))

    assert got.best.item() == pytest.approx(-1)
    assert got.where.tolist() == [0]


def test_rows_need_not_be_packed_tightly(device: str) -> None:
    wide, marks = unit(20, 128, 3, device), packed([20], device)

    got = ragged_maxsim_stats(wide[:, :64], wide[:, 64:], marks, marks)

    plain = ragged_maxsim_stats_torch(wide[:, :64].contiguous(), wide[:, 64:].contiguous(), marks, marks)
    assert_same(got, plain, plain)


def test_one_pair_is_shared_out_and_many_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kernels.maxsim.processors", lambda _: 132)
    r = torch.empty(1, 384, dtype=torch.bfloat16)

    assert chosen(r, pairs=1, rows=256, columns=8192).splits == 32
    assert chosen(r, pairs=1, rows=256, columns=100).splits == 1
    assert chosen(r, pairs=256, rows=256, columns=8192).splits == 1


def refused(match: str, vectors: tuple[Tensor, Tensor], ends: tuple[Tensor, Tensor], more: Extras = PLAIN) -> None:
    with pytest.raises(ValueError, match=match):
        ragged_maxsim_stats(*vectors, *ends, more)


def test_arguments_that_do_not_fit_are_refused(device: str) -> None:
    r, marks = unit(4, 64, 1, device), packed([4], device)
    wide = unit(64, 64, 1, device)
    refused("one d", (r, unit(4, 128, 2, device)), (marks, marks))
    refused("floating dtype", (r, r.half()), (marks, marks))
    refused("ends must be two", (r, r), (marks, packed([2, 2], device)))
    refused("int32", (r, r), (marks.long(), marks.long()))
    refused("two powers of two", (r[:, :40], r[:, :40]), (marks, marks))
    refused("contiguous", (wide.T, wide.T), (packed([64], device), packed([64], device)))
    refused("weights must be", (r, r), (marks, marks), Extras(weights=torch.ones(3, device=device)))
    refused("segments must be", (r, r), (marks, marks), Extras(segments=torch.ones(4, device=device)))
