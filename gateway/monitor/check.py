"""One look at one stream: its window against its reference, and all that can be said of the difference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gateway.monitor.rows import Sample, Stream
from gateway.monitor.shift import LEAST, Shift, shifts
from gateway.monitor.topics import EXAMPLES, Known, Topic, outstanding, topics
from gateway.monitor.twosample import Compared, mmd

NAMED = 20  # exchanges that are told to have drifted; the report has all


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found. `statistic` and `p` are of the vectors' test; None where there are none."""

    stream: Stream
    rows: int
    reference: int
    shifts: Sequence[Shift] = ()
    compared: Compared | None = None
    topics: Sequence[Topic] = ()
    drifted: Sequence[str] = ()  # ids of exchanges, the most outstanding first
    ids: Sequence[str] = field(default=(), repr=False)

    @property
    def p(self) -> float:
        """Of what speaks most for drift: the vectors' test, or the features', adjusted. Each errs at its own alpha."""
        ps = [*(shift.adjusted for shift in self.shifts), *((self.compared.p,) if self.compared else ())]
        return min(ps, default=1.0)

    def json(self) -> dict[str, Any]:
        return {
            "stream": self.stream,
            "rows": self.rows,
            "reference_rows": self.reference,
            "p_value": self.p,
            "statistic": self.compared.statistic if self.compared else None,
            "vectors_p_value": self.compared.p if self.compared else None,
            "shifts": [shift_json(shift) for shift in self.shifts],
            "topics": [topic_json(topic, self.ids) for topic in self.topics],
            "drifted": list(self.drifted[:NAMED]),
        }


def checked(
    stream: Stream, reference: Sample, window: Sample, known: Known, alpha: float, rng: np.random.Generator
) -> Checked:
    """Test the vectors where both have some of the same length, and every feature."""
    found = shifts(reference, window, rng)
    told = Checked(stream, len(window), len(reference), found, ids=window.ids)
    if min(len(reference.vectors), len(window.vectors)) < LEAST or not _alike(reference, window):
        return told
    compared = mmd(reference.vectors, window.vectors, rng)
    if compared.p > alpha:
        return Checked(stream, len(window), len(reference), found, compared, ids=window.ids)
    new = topics(window, compared, known)
    drifted = [window.ids[at] for at in outstanding(compared)]
    return Checked(stream, len(window), len(reference), found, compared, new, drifted, window.ids)


def _alike(reference: Sample, window: Sample) -> bool:
    return bool(reference.vectors.shape[1] == window.vectors.shape[1])


def shift_json(shift: Shift) -> dict[str, Any]:
    return {
        "feature": shift.feature,
        "test": shift.test,
        "statistic": round(shift.statistic, 6),
        "p_value": shift.p,
        "adjusted": shift.adjusted,
        "before": {name: round(value, 6) for name, value in shift.before.items()},
        "after": {name: round(value, 6) for name, value in shift.after.items()},
    }


def topic_json(topic: Topic, ids: Sequence[str]) -> dict[str, Any]:
    return {
        "id": topic.id,
        "terms": list(topic.terms),
        "size": len(topic.rows),
        "share": round(topic.share, 4),
        "before": round(topic.before, 4),
        "examples": [ids[at] for at in topic.rows[:EXAMPLES]],
    }
