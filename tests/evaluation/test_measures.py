import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.evaluation import metrics
from gateway.evaluation.metrics import Bools, Floats

# As scikit-learn's documentation has them: roc_auc_score 0.75, average_precision_score 0.8333….
SCORES = np.array([0.1, 0.4, 0.35, 0.8])
BAD = np.array([False, False, True, True])

cases = st.lists(st.tuples(st.integers(0, 20), st.booleans()), min_size=2, max_size=40).filter(
    lambda rows: len({bad for _, bad in rows}) == 2
)


def arrays(rows: list[tuple[int, bool]]) -> tuple[Floats, Bools]:
    return np.array([float(score) for score, _ in rows]), np.array([bad for _, bad in rows])


def test_figures_are_those_of_a_known_example() -> None:
    assert metrics.auroc(SCORES, BAD) == pytest.approx(0.75)
    assert metrics.auprc(SCORES, BAD) == pytest.approx(5 / 6)
    assert metrics.alarms_at(SCORES, BAD, 0.5) == 0
    assert metrics.alarms_at(SCORES, BAD, 1.0) == 0.5


@given(cases)
def test_auroc_is_the_chance_that_a_bad_one_scores_higher(rows: list[tuple[int, bool]]) -> None:
    scores, bad = arrays(rows)
    pairs = [(b > g) + (b == g) / 2 for b in scores[bad] for g in scores[~bad]]
    assert metrics.auroc(scores, bad) == pytest.approx(sum(pairs) / len(pairs))


@given(cases)
def test_turning_scores_round_turns_auroc_round(rows: list[tuple[int, bool]]) -> None:
    scores, bad = arrays(rows)
    assert metrics.auroc(-scores, bad) == pytest.approx(1 - metrics.auroc(scores, bad))


@given(cases)
def test_the_best_threshold_is_as_good_as_any(rows: list[tuple[int, bool]]) -> None:
    scores, bad = arrays(rows)

    def balanced(threshold: float) -> float:
        return float(((scores[bad] >= threshold).mean() + (scores[~bad] < threshold).mean()) / 2)

    assert balanced(metrics.best(scores, bad)) == pytest.approx(max(balanced(one) for one in {*scores, 99.0}))


def test_a_score_without_both_kinds_has_no_figure() -> None:
    assert np.isnan(metrics.auroc(SCORES, np.ones(4, dtype=bool)))
    assert np.isnan(metrics.auprc(SCORES, np.zeros(4, dtype=bool)))
    assert np.isnan(metrics.decided(SCORES, np.zeros(4, dtype=bool), np.arange(4)).f1)


def test_thresholds_do_not_see_the_rows_they_judge() -> None:
    scores, bad = np.array([0.0, 1.0, 10.0, 11.0]), np.array([False, True, False, True])
    fold = np.array([0, 0, 1, 1])
    found = metrics.decided(scores, bad, fold)
    assert (found.recall, found.alarms) == (0.5, 0.5)  # each fold's threshold is useless on the other
    assert metrics.decided(np.array([0.0, 1.0, 0.0, 1.0]), bad, fold).f1 == 1


def test_what_lies_on_a_shipped_threshold_is_not_above_it() -> None:
    assert metrics.at(SCORES, BAD, 0.4).recall == 0.5
    assert metrics.at(SCORES, BAD, 0.4).alarms == 0


def test_an_interval_is_the_same_twice_and_wider_for_rows_that_hang_together() -> None:
    dice = np.random.default_rng(1)
    each = dice.normal(size=40)
    scores, bad = np.repeat(each, 5), np.repeat(each + dice.normal(size=40) > 0, 5)
    alone = metrics.interval(metrics.auroc, scores, bad, np.arange(200), 200)
    together = metrics.interval(metrics.auroc, scores, bad, np.repeat(np.arange(40), 5), 200)
    assert alone == metrics.interval(metrics.auroc, scores, bad, np.arange(200), 200)
    assert together[1] - together[0] > alone[1] - alone[0]


def test_reliability_tells_what_was_said_and_what_was() -> None:
    scores, bad = np.array([0.05, 0.05, 0.95, 0.95, 1.0]), np.array([False, True, True, True, True])
    low, high = metrics.reliability(scores, bad)
    assert (low.said, low.was, low.n) == (0.05, 0.5, 2)
    assert (high.was, high.n) == (1.0, 3)
    assert metrics.calibration_error(scores, bad) == pytest.approx((2 * 0.45 + 3 * (1 - 2.9 / 3)) / 5)


@given(st.lists(st.integers(0, 8), min_size=1, max_size=60))
def test_no_group_is_in_two_folds(group: list[int]) -> None:
    fold = metrics.folds(np.array(group))
    assert len({(g, f) for g, f in zip(group, fold.tolist(), strict=True)}) == len(set(group))
