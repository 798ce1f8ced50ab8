import pytest
import torch

from kernels.testing import assert_close

TRUTH = torch.tensor([1.0, -2.0, torch.inf])


def test_twice_torchs_own_error_is_the_limit() -> None:
    torchs = TRUTH + torch.tensor([0.01, 0.0, 0.0])
    assert_close(TRUTH - torch.tensor([0.0, 0.0199, 0.0]), torchs, TRUTH)
    with pytest.raises(AssertionError, match="is allowed"):
        assert_close(TRUTH - torch.tensor([0.0, 0.0201, 0.0]), torchs, TRUTH)


def test_nan_is_never_close() -> None:
    with pytest.raises(AssertionError, match="is allowed"):
        assert_close(torch.tensor([torch.nan, -2.0, torch.inf]), TRUTH, TRUTH)


def test_infinities_must_agree() -> None:
    with pytest.raises(AssertionError, match="infinities"):
        assert_close(torch.tensor([1.0, -2.0, 3.0]), TRUTH, TRUTH)
    assert_close(TRUTH[2:], TRUTH[2:], TRUTH[2:])


def test_what_cancels_is_held_to_the_scale_of_its_parts() -> None:
    tiny = torch.tensor([1e-3])
    with pytest.raises(AssertionError, match="is allowed"):
        assert_close(tiny + 1e-7, tiny, tiny)
    assert_close(tiny + 1e-7, tiny, tiny, scale=1)


def test_shapes_must_agree() -> None:
    with pytest.raises(AssertionError, match="shape"):
        assert_close(TRUTH[:2], TRUTH, TRUTH)
