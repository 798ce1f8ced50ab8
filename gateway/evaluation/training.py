"""Trains the heads that come with the scorer: rows in, weights and a model card out. The same rows, the same bytes."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np

from gateway.errors import ConfigError, Problem
from gateway.evaluation import metrics
from gateway.evaluation.near import groups
from gateway.evaluation.pairs import Paired, paired
from gateway.evaluation.rows import Row
from gateway.evaluation.scorers import encoder
from gateway.scoring import head, head_text
from gateway.scoring.head_fit import Recipe, Told, corpus, fitted
from gateway.scoring.head_text import Heads

RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {"injection": Recipe(3.0, 3.0, 0.01), "toxicity": Recipe(1.0, 2.0, 0.05)}
)
"""Heads of texts. A toxic text is read by people who can judge it; an injection's false alarm stops an honest user."""

PAIRS = "groundedness"
"""The head of answers and contexts, whose file is `hallucination.safetensors`: what it gives."""

HEADS = (*RECIPES, PAIRS)

_CLOSED = re.compile(r"\b(nc|nd)\b|non-?commercial|no-?deriv|research only", re.IGNORECASE)

Seen = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Trained:
    """The files written, and lines of figures to print."""

    files: tuple[Path, ...]
    figures: Sequence[str]


def train(name: str, rows: Sequence[Row], out: Path, seen: Seen) -> Trained:
    """Fit the head `name` on `rows` and write it and its card to `out`.

    `seen` is called with numbers of rows as they are read. Raises `ConfigError` for rows whose licence forbids it, and
    where there are not both kinds, enough of each to hold some out.
    """
    _allowed(rows)
    _enough(rows)
    out.mkdir(parents=True, exist_ok=True)
    return _pairs(rows, out, seen) if name == PAIRS else _texts(name, rows, out, seen)


def _allowed(rows: Sequence[Row]) -> None:
    closed = [row for row in rows if _CLOSED.search(row.licence)]
    if closed:
        problems = [Problem(*_place(row), f"licence {row.licence!r} does not allow training") for row in closed[:5]]
        raise ConfigError(problems)


def _place(row: Row) -> tuple[str, int]:
    file, _, line = row.where.rpartition(":")
    return file, int(line) if line.isdecimal() else 1


def _enough(rows: Sequence[Row]) -> None:
    bad = sum(row.bad for row in rows)
    if min(bad, len(rows) - bad) < 10:
        file, _ = _place(rows[0])
        raise ConfigError([Problem(file, 1, f"{bad} bad rows of {len(rows)}; a head needs ten of each kind at least")])


def _texts(name: str, rows: Sequence[Row], out: Path, seen: Seen) -> Trained:
    recipe = RECIPES[name]
    told = Told([row.bad for row in rows], [row.weight for row in rows], groups(rows))
    read = corpus(Heads(encoder(), {}), [row.answer for row in rows], told, seen)
    found = fitted(read, recipe)
    file = out / f"{name}.safetensors"
    head_text.save(found.head, file)
    held = np.array(found.held.tolist())
    table = [*_figures(rows, held, np.array(told.group), found.head.threshold)]
    card = _card(
        name,
        _WHAT[name],
        rows,
        file,
        table,
        f"Threshold: **{found.head.threshold}**, above which are at most "
        f"{recipe.alarms:.0%} of the good texts' weight, held out.",
    )
    return Trained((file, card), table)


def _pairs(rows: Sequence[Row], out: Path, seen: Seen) -> Trained:
    found: Paired = paired(rows, seen)
    file = out / "hallucination.safetensors"
    head.save(found.head, file)
    weights = ", ".join(f"`{name}` {weight:.2f}" for name, weight in found.head.weights.items())
    held = [row for row, kept in zip(rows, found.told, strict=True) if kept]
    table = [*_figures(held, found.held, np.array(groups(held)), 0.5)]
    card = _card("hallucination", _WHAT[PAIRS], rows, file, table, f"Weights: {weights}, bias {found.head.bias:.2f}.")
    return Trained((file, card), table)


def _figures(rows: Sequence[Row], held: metrics.Floats, group: metrics.Ints, threshold: float) -> Iterator[str]:
    """A Markdown table, by source and over all."""
    yield "| source | n | bad | AUROC [95 %] | length only | recall | false alarms |"
    yield "|---|---|---|---|---|---|---|"
    bad, sources = np.array([row.bad for row in rows]), np.array([row.source for row in rows])
    length = np.array([float(len(row.answer)) for row in rows])
    for source in [*sorted(set(sources)), None]:
        at = sources == source if source else np.ones(len(rows), dtype=bool)
        said = metrics.at(held[at], bad[at], threshold)
        low, high = metrics.interval(metrics.auroc, held[at], bad[at], group[at], 200)
        parts = (metrics.auroc(held[at], bad[at]), low, high)
        auroc = "–" if np.isnan(parts[0]) else "{:.3f} [{:.3f}, {:.3f}]".format(*parts)
        alone = metrics.auroc(length[at], bad[at])
        cells = (
            source or "**all**",
            int(at.sum()),
            int(bad[at].sum()),
            auroc,
            _share(alone, 3),
            _share(said.recall, 3),
        )
        yield f"| {' | '.join(map(str, cells))} | {_share(said.alarms, 4)} |"


def _share(value: float, digits: int) -> str:
    return "–" if np.isnan(value) else f"{value:.{digits}f}"


_WHAT: Mapping[str, str] = MappingProxyType(
    {
        "injection": "the probability that a text tries to make a model do what its operator did not mean: to override "
        "instructions, to have them told, to play a persona without rules",
        "toxicity": "the probability that a text is hateful, harassing, sexual, violent or about self-harm",
        PAIRS: "the probability that an answer says something that its context does not support",
    }
)


def _card(name: str, what: str, rows: Sequence[Row], file: Path, table: Sequence[str], note: str) -> Path:
    card = file.with_suffix(".md")
    counted = Counter((row.source, row.licence or "not told", row.weight) for row in rows)
    bad = Counter(row.source for row in rows if row.bad)
    data = "\n".join(
        f"| {source} | {licence} | {n} | {bad[source]} | {weight:g} |"
        for (source, licence, weight), n in sorted(counted.items())
    )
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    notes = _kept(card)
    card.write_text(
        f"""# Model card: {name}

**What it gives:** {what}, from 0 to 1, as if half of all were. Licence: Apache-2.0, as the project; no text
that it was trained on is in the file. {note}

`{file.name}`, {file.stat().st_size:,} bytes, SHA-256 `{digest}`.

## Trained on

| source | licence | rows | bad | weight of a row |
|---|---|---|---|---|
{data}

## Held out

Every row judged by a head that was fitted without its fifth of the rows; what shares a group, a context or a run of
eight words is never split. Recall and false alarms at the threshold.

{chr(10).join(table)}
{notes}"""
    )
    return card


NOTES = "\n## Notes\n"


def _kept(card: Path) -> str:
    """What somebody wrote below the figures stays."""
    text = card.read_text() if card.exists() else ""
    return text[text.index(NOTES) :] if NOTES in text else ""
