"""One scorer on one set of rows: every figure with its interval, beside the controls on the same rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gateway.evaluation import controls, metrics
from gateway.evaluation.metrics import Bin, Bools, Decided, Floats, Ints
from gateway.evaluation.near import groups
from gateway.evaluation.rows import Row

WORST = 20  # errors of a kind that are told


@dataclass(frozen=True, slots=True)
class Figure:
    """`scores` [n] are what it is made of."""

    name: str
    scores: Floats
    auroc: float
    auroc_interval: tuple[float, float]
    auprc: float
    auprc_interval: tuple[float, float]
    alarms: float
    decided: Decided


@dataclass(frozen=True, slots=True)
class Measured:
    """What was found of `rows`, less the `unscored`. `figures` begin with the scorer's, then come the controls."""

    name: str
    rows: Sequence[Row]
    bad: Bools
    groups: int
    unscored: int
    figures: Sequence[Figure]
    reliability: Sequence[Bin]
    calibration: float
    shipped: Decided | None = None

    @property
    def turned(self) -> bool:
        """Whether labels seem to mean the opposite of what they were taken for."""
        return self.figures[0].auroc_interval[1] < 0.45


@dataclass(frozen=True, slots=True)
class Kind:
    """`threshold` is the one that the scorer comes with, `pairs` whether rows have contexts."""

    pairs: bool
    threshold: float | None = None


def measured(name: str, rows: Sequence[Row], scores: Floats, kind: Kind, draws: int = metrics.DRAWS) -> Measured:
    """Figures of `scores` [n], higher for the bad; rows whose score is NaN are counted and left out."""
    told = ~np.isnan(scores)
    kept, scores = [row for row, one in zip(rows, told, strict=True) if one], scores[told]
    bad, group = np.array([row.bad for row in kept], dtype=bool), np.array(groups(kept), dtype=np.int64)
    fold = metrics.folds(group)
    others = _controls(kept, bad, fold, kind)
    figures = [_figure(one, of, bad, (group, fold), draws) for one, of in {name: scores, **others}.items()]
    probable = bool(len(scores)) and bool(((scores >= 0) & (scores <= 1)).all())
    return Measured(
        name=name,
        rows=kept,
        bad=bad,
        groups=len(np.unique(group)),
        unscored=int((~told).sum()),
        figures=figures,
        reliability=metrics.reliability(scores, bad) if probable else [],
        calibration=metrics.calibration_error(scores, bad) if probable else float("nan"),
        shipped=None if kind.threshold is None else metrics.at(scores, bad, kind.threshold),
    )


def _controls(rows: Sequence[Row], bad: Bools, fold: Ints, kind: Kind) -> Mapping[str, Floats]:
    words = controls.novelty(rows) if kind.pairs else controls.bayes(rows, bad, fold)
    name = "new words (lexical)" if kind.pairs else "words of this set (lexical)"
    return {"length only": controls.length(rows), name: words}


def _figure(name: str, scores: Floats, bad: Bools, split: tuple[Ints, Ints], draws: int) -> Figure:
    group, fold = split
    return Figure(
        name=name,
        scores=scores,
        auroc=metrics.auroc(scores, bad),
        auroc_interval=metrics.interval(metrics.auroc, scores, bad, group, draws),
        auprc=metrics.auprc(scores, bad),
        auprc_interval=metrics.interval(metrics.auprc, scores, bad, group, draws),
        alarms=metrics.alarms_at(scores, bad),
        decided=metrics.decided(scores, bad, fold),
    )


def worst(found: Measured, *, kind: bool) -> list[int]:
    """Rows the scorer is most wrong about: bad ones that score lowest, or good ones that score highest."""
    at = np.flatnonzero(found.bad == kind)
    scores = found.figures[0].scores[at]
    return [int(one) for one in at[np.argsort(scores if kind else -scores, kind="stable")][:WORST]]
