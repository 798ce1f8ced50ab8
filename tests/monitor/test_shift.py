from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats  # type: ignore[import-untyped]  # ships no types

from gateway.monitor.rows import Row, sampled
from gateway.monitor.shift import chi2, holm, ks, shifts


@settings(max_examples=40, deadline=None)
@given(st.integers(30, 400), st.integers(30, 400), st.floats(0, 0.5), st.integers(0, 999))
def test_kolmogorov_smirnov_agrees_with_scipy(n: int, m: int, moved: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, other = rng.normal(size=n), rng.normal(moved, size=m)
    statistic, p = ks(one, other)
    told = stats.ks_2samp(one, other, method="exact")
    assert statistic == pytest.approx(told.statistic)
    assert p == pytest.approx(told.pvalue, abs=0.06)


def test_chi_squared_agrees_with_scipy() -> None:
    one, other = [50, 30, 20], [35, 40, 25]
    statistic, p = chi2(one, other, np.random.default_rng(0))
    told = stats.chi2_contingency([one, other])
    assert statistic == pytest.approx(told.statistic)
    assert p == pytest.approx(told.pvalue, abs=0.06)


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_never_says_less_than_the_test_and_keeps_their_order(ps: list[float]) -> None:
    adjusted = holm(ps)
    assert all(p <= a <= 1 for p, a in zip(ps, adjusted, strict=True))
    order = sorted(range(len(ps)), key=ps.__getitem__)
    assert [adjusted[at] for at in order] == sorted(adjusted)


def test_holm_of_the_textbook() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def sample(languages: Sequence[str], chars: Sequence[float]) -> list[Row]:
    return [
        Row(str(n), {"chars": c}, {"language": word}) for n, (word, c) in enumerate(zip(languages, chars, strict=True))
    ]


def test_features_that_moved_are_told_and_others_are_not() -> None:
    rng = np.random.default_rng(1)
    before = sampled(sample(rng.choice(["en", "de"], 500, p=[0.9, 0.1]).tolist(), rng.normal(size=500).tolist()))
    after = sampled(sample(rng.choice(["en", "de"], 500, p=[0.7, 0.3]).tolist(), rng.normal(size=500).tolist()))
    found = {shift.feature: shift for shift in shifts(before, after, rng)}
    assert found["language"].adjusted <= 0.001
    assert found["chars"].adjusted > 0.05
    assert found["language"].after["de"] == pytest.approx(0.3, abs=0.05)


def test_false_alarms_over_all_features_keep_to_their_rate() -> None:
    rng = np.random.default_rng(2)

    def traffic() -> list[Row]:
        return sample(rng.choice(["en", "de", "fr"], 80).tolist(), rng.normal(size=80).tolist())

    alarms = [min(s.adjusted for s in shifts(sampled(traffic()), sampled(traffic()), rng)) <= 0.05 for _ in range(150)]
    assert sum(alarms) <= 17  # 7.5 are expected


def test_a_class_that_is_the_same_everywhere_says_nothing() -> None:
    rng = np.random.default_rng(3)
    (chars, language) = shifts(sampled(sample(["en"] * 40, [1.0] * 40)), sampled(sample(["en"] * 40, [1.0] * 40)), rng)
    assert (chars.p, language.p) == (1.0, 1.0)
