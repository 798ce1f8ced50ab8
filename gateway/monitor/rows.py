"""What is watched: rows of four streams, each with a vector, numbers and classes; and many rows as columns.

prompts, answers    from the scorer's spool: the text's vector, its length, its language, whether it is a refusal
exchanges           from `exchange.completed`: tokens, verdict, outcome, finish reason
scores              from `score.recorded`: each score
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from gateway.observe.spool import Record

Stream = Literal["prompts", "answers", "exchanges", "scores"]
STREAMS: tuple[Stream, ...] = get_args(Stream)

ABSENT = "–"  # of a class that a row does not have


@dataclass(frozen=True, slots=True)
class Row:
    """One prompt, answer, exchange or scoring: `id` is the exchange's. `vector` is of length 1, in float16."""

    id: str
    numbers: Mapping[str, float] = field(default_factory=dict)
    classes: Mapping[str, str] = field(default_factory=dict)
    words: Sequence[str] = ()
    vector: NDArray[np.float16] | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows as columns. `vectors` [n, d] has no rows where the stream has no vectors."""

    ids: Sequence[str]
    vectors: NDArray[np.float16]
    numbers: Mapping[str, NDArray[np.float64]]  # without rows that do not have it
    classes: Mapping[str, Mapping[str, int]]
    words: Sequence[Sequence[str]]

    def __len__(self) -> int:
        return len(self.ids)


def sampled(rows: Sequence[Row]) -> Sample:
    """Vectors of another length than the first one's are left out, with their rows: the encoder was changed."""
    width = next((len(row.vector) for row in rows if row.vector is not None), 0)
    kept = [row for row in rows if (0 if row.vector is None else len(row.vector)) == width]
    found = [row.vector for row in kept if row.vector is not None]
    vectors = np.array(found, dtype=np.float16).reshape(len(found), width)
    return Sample(
        [row.id for row in kept],
        vectors,
        {name: _numbers(kept, name) for name in _names(row.numbers for row in kept)},
        {name: Counter(row.classes.get(name, ABSENT) for row in kept) for name in _names(r.classes for r in kept)},
        [row.words for row in kept],
    )


def _numbers(rows: Sequence[Row], name: str) -> NDArray[np.float64]:
    return np.array([row.numbers[name] for row in rows if name in row.numbers], dtype=np.float64)


def _names(columns: Iterable[Mapping[str, Any]]) -> list[str]:
    return sorted({name for column in columns for name in column})


# Where rows come from…


def from_record(record: Record) -> tuple[Stream, Row] | None:
    """A row of the scorer's spool; None for what is none."""
    head = record.head
    stream: Stream | None = {"prompt": "prompts", "answer": "answers"}.get(head.get("kind", ""))  # type: ignore[assignment]  # dict.get of literals
    if stream is None or not record.body or len(record.body) % 2:
        return None
    classes = {name: str(head[name]) for name in ("language", "refusal") if name in head}
    vector = np.frombuffer(record.body, dtype="<f2")
    if not np.isfinite(vector).all():
        return None
    return stream, Row(head["id"], {"chars": float(head["chars"])}, classes, tuple(head.get("words", ())), vector)


def from_event(event: Mapping[str, Any]) -> tuple[Stream, Row] | None:
    """A row of the event log; None for events that are not of a stream."""
    match event.get("event"):
        case "exchange.completed" if event["outcome"] not in {"rejected", "cancelled"}:
            numbers = {name: float(event[name]) for name in ("input_tokens", "output_tokens")}
            classes = {name: str(event[name]) for name in ("verdict", "outcome", "finish")}
            return "exchanges", Row(event["id"], numbers, classes)
        case "score.recorded":
            return "scores", Row(event["id"], {name: float(value) for name, value in event["scores"].items()})
    return None
