"""The drift map: prompts of the monitor's reference and of its window, as points of a plane."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.monitor import store
from gateway.monitor.rows import Row
from gateway.monitor.watch import read_reference

POINTS = 400  # of the reference, and of the window

Json = dict[str, Any]


@dataclass(slots=True)
class Map:
    """Reads what the monitor keeps in `state`, again whenever that has changed."""

    state: Path
    read: tuple[int, int] = (0, 0)  # when its two files were changed
    found: Json | None = None

    def told(self) -> Json | None:
        """`{"reference": points, "window": points, "seen": share of the variance}`; None while there is none.

        Points are `{"id", "x", "y"}` with ids of exchanges.
        """
        changed = (_changed(self.state / "reference.npz"), _changed(self.state / "state.npz"))
        if changed != self.read:
            self.read, self.found = changed, self._drawn()
        return self.found

    def _drawn(self) -> Json | None:
        reference, window = self._rows()
        if not reference or not window:
            return None
        return drawn(reference, window)

    def _rows(self) -> tuple[list[Row], list[Row]]:
        found, state = store.load(self.state / "reference.npz"), store.load(self.state / "state.npz")
        if found is None or state is None:
            return [], []
        told, arrays = state
        track = told["tracks"]["prompts"]
        *panes, _learning = track["sizes"]
        window = store.unpacked(track["rows"], arrays["prompts"])[: sum(panes)]
        reference = dict(read_reference(found)).get("prompts", [])
        return _with_vectors(reference), _with_vectors(window)


def drawn(reference: Sequence[Row], window: Sequence[Row]) -> Json:
    """Across: from the mean of the reference to that of the window. Up: where they spread most beside that (PCA)."""
    reference, window = _thinned(reference), _thinned(window)
    vectors = np.stack([row.vector for row in (*reference, *window) if row.vector is not None]).astype(np.float32)
    centred = vectors - vectors.mean(axis=0)
    across = _unit(centred[len(reference) :].mean(axis=0) - centred[: len(reference)].mean(axis=0))
    beside = centred - np.outer(centred @ across, across)
    up = np.linalg.svd(beside, full_matrices=False)[2][0]
    points = centred @ np.stack([across, up]).T
    share = float((points**2).sum() / max(float((centred**2).sum()), 1e-12))
    return {
        "reference": _points(reference, points[: len(reference)]),
        "window": _points(window, points[len(reference) :]),
        "seen": round(share, 3),
    }


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    return vector / max(float(np.linalg.norm(vector)), 1e-12)


def _with_vectors(rows: Sequence[Row]) -> list[Row]:
    width = next((len(row.vector) for row in rows if row.vector is not None), 0)
    return [row for row in rows if row.vector is not None and len(row.vector) == width]


def _thinned(rows: Sequence[Row]) -> list[Row]:
    """Every so-many-th of too many."""
    step = -(-len(rows) // POINTS) or 1
    return list(rows[::step])


def _points(rows: Sequence[Row], points: NDArray[np.float32]) -> list[Json]:
    return [
        {"id": row.id, "x": round(float(x), 4), "y": round(float(y), 4)}
        for row, (x, y) in zip(rows, points, strict=True)
    ]


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
