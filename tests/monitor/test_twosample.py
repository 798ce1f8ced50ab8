import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gateway.monitor.twosample import _kernel, _statistics, mmd, whitened

Rows = NDArray[np.float32]


def rows(rng: np.random.Generator, count: int, topic: int = 0, width: int = 32) -> Rows:
    """Texts of eight subjects, or of one more."""
    centres = np.random.default_rng(99).normal(size=(9, width))
    about = np.full(count, 8) if topic else rng.integers(0, 8, count)
    found = centres[about] + 1.2 * rng.normal(size=(count, width))
    unit: Rows = (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)
    return unit


@settings(max_examples=20, deadline=None)
@given(st.integers(3, 40), st.integers(3, 40), st.integers(0, 999))
def test_the_statistic_of_signs_is_the_one_of_the_textbook(n: int, m: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    kernel = _kernel(whitened(rows(rng, n + m)), rng)
    signs = np.where(np.arange(n + m) < n, 1, -1).astype(np.float32)[:, None]
    quick = _statistics(kernel, kernel.sum(1, dtype=np.float64), signs, n)[0]
    first = kernel[:n, :n].sum() / (n * (n - 1))
    second = kernel[n:, n:].sum() / (m * (m - 1))
    assert quick == pytest.approx(first + second - 2 * kernel[:n, n:].mean(), abs=1e-5)


def test_windows_of_the_same_traffic_are_seldom_told_apart() -> None:
    rng = np.random.default_rng(3)
    alarms = [mmd(rows(rng, 150), rows(rng, 100), rng).p <= 0.05 for _ in range(120)]
    assert sum(alarms) <= 14  # 6 are expected; 15 or more come once in a thousand


def test_a_new_topic_is_found_and_its_rows_stand_out() -> None:
    rng = np.random.default_rng(4)
    window = np.concatenate([rows(rng, 180), rows(rng, 40, topic=1)])
    found = mmd(rows(rng, 300), window, rng)
    assert found.p == 1 / 200
    assert (np.argsort(-found.witness)[:40] >= 180).mean() >= 0.9
    assert found.witness.shape == (220,)
    assert found.ordinary.shape == (300,)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 99), st.floats(0.01, 100), st.floats(-5, 5))
def test_scale_and_place_do_not_matter(seed: int, scale: float, shift: float) -> None:
    rng = np.random.default_rng(seed)
    one, other = rows(rng, 40), rows(rng, 30)
    first = mmd(one, other, np.random.default_rng(0))
    second = mmd(one * scale + shift, other * scale + shift, np.random.default_rng(0))
    assert second.statistic == pytest.approx(first.statistic, abs=1e-3)


def test_rows_that_are_all_the_same_differ_in_nothing() -> None:
    same = np.ones((20, 8), np.float32)
    assert mmd(same, same[:10], np.random.default_rng(0)).p > 0.05


def test_a_test_of_one_row_is_refused() -> None:
    with pytest.raises(ValueError, match="two rows"):
        mmd(np.ones((1, 4)), np.ones((5, 4)), np.random.default_rng(0))
