"""`--suite`: what is judged and by which scores, and rows from files or from scores that somebody else gave."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gateway.config.wording import near
from gateway.errors import ConfigError, Problem
from gateway.evaluation.measured import Kind, Measured, measured
from gateway.evaluation.metrics import DRAWS, Floats
from gateway.evaluation.rows import Meaning, Row, read
from gateway.evaluation.scorers import PAIRS, TEXTS, Judge, Seen
from gateway.scoring import head_text

GROUNDEDNESS = "groundedness"
SUITES = (GROUNDEDNESS, *TEXTS)


@dataclass(frozen=True, slots=True)
class Asked:
    """What to evaluate: a suite, files or folders, a scorer's name (empty: the suite's own), labels that are bad."""

    suite: str
    data: Sequence[Path]
    scorer: str = ""
    bad: Sequence[str] = ()
    limit: int = 0
    draws: int = DRAWS


def sets(asked: Asked) -> dict[str, list[Row]]:
    """Rows by the source they name, or else their file. Raises `ConfigError`."""
    meaning = Meaning(frozenset(map(str.casefold, asked.bad))) if asked.bad else Meaning()
    rows = read(asked.data, contexts=asked.suite == GROUNDEDNESS, meaning=meaning)
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.source, []).append(row)
    return {name: _drawn(some, asked.limit) for name, some in found.items()}


def _drawn(rows: list[Row], limit: int) -> list[Row]:
    """`limit` of them, the same every time; in their order. 0 is all."""
    if not limit or len(rows) <= limit:
        return rows
    return [rows[at] for at in sorted(np.random.default_rng(0).choice(len(rows), limit, replace=False))]


def judge(asked: Asked) -> tuple[str, Judge]:
    """Raises `ConfigError` where there is no scorer of that name."""
    known: Mapping[str, Judge] = PAIRS if asked.suite == GROUNDEDNESS else TEXTS
    name = asked.scorer or ("hallucination" if asked.suite == GROUNDEDNESS else asked.suite)
    if name not in known:
        problem = f"no scorer named {name!r}{near(name, known)}; for this suite there are {', '.join(known)}"
        raise ConfigError([Problem("--scorer", 1, problem)])
    return name, known[name]


def evaluate(asked: Asked, rows: Mapping[str, Sequence[Row]], seen: Seen) -> list[Measured]:
    """Every set and, where there are several, all of them together."""
    name, judged = judge(asked)
    return compared(asked, rows, {one: judged(some, seen) for one, some in rows.items()}, name)


def compared(
    asked: Asked, rows: Mapping[str, Sequence[Row]], scores: Mapping[str, Floats], name: str
) -> list[Measured]:
    """Figures of scores that are there already."""
    kind = Kind(asked.suite == GROUNDEDNESS, _threshold(name))
    found = [replace(measured(name, some, scores[one], kind, asked.draws), name=one) for one, some in rows.items()]
    if len(rows) > 1:
        every = [row for some in rows.values() for row in some]
        total = measured(name, every, np.concatenate([*scores.values()]), kind, asked.draws)
        found.append(replace(total, name="all"))
    return found


def _threshold(name: str) -> float | None:
    return head_text.load(name).threshold if name in TEXTS else None


def given(file: Path, count: int) -> Floats:
    """[count] scores somebody else gave, one a line, a number or `{"score": number}`. Raises `ConfigError`."""
    lines = [line for line in file.read_text().splitlines() if line.strip()]
    if len(lines) != count:
        raise ConfigError([Problem(str(file), len(lines), f"{len(lines)} scores for {count} rows")])
    return np.array([_score(file, number, line) for number, line in enumerate(lines, 1)])


def _score(file: Path, number: int, line: str) -> float:
    try:
        value = json.loads(line)
        return float(value["score"] if isinstance(value, dict) else value)
    except (ValueError, TypeError, KeyError):
        raise ConfigError([Problem(str(file), number, "neither a number nor an object with a `score`")]) from None
