"""What was measured: as a table for the terminal, and as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from gateway.evaluation.measured import Figure, Measured


def table(found: Sequence[Measured]) -> Table:
    """A block of lines a set: the scorer, then its controls."""
    shown = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    titles = ("set", "rows", "bad", "score", "AUROC [95 %]", "AUPRC", "F1", "bal. acc.", "false alarms at 90 % recall")
    for title in titles:
        shown.add_column(title, justify="right" if title in titles[1:3] else "left", overflow="fold")
    for one in found:
        for at, figure in enumerate(one.figures):
            about = (one.name, str(len(one.rows)), str(int(one.bad.sum()))) if at == 0 else ("", "", "")
            shown.add_row(*about, *_cells(figure), style="" if at == 0 else "dim")
    return shown


def _cells(figure: Figure) -> tuple[str, ...]:
    low, high = figure.auroc_interval
    auroc = f"{number(figure.auroc)} [{number(low)}, {number(high)}]"
    decided = figure.decided
    return figure.name, auroc, *map(number, (figure.auprc, decided.f1, decided.balanced, figure.alarms))


def number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3f}"


def notes(found: Sequence[Measured]) -> list[str]:
    """What a reader of the table should know besides."""
    lines = []
    for one in found:
        if one.unscored:
            lines.append(f"{one.name}: {one.unscored} rows left out, there is nothing in them to score")
        if one.turned:
            lines.append(
                f"{one.name}: the score is worse than chance; if label 1 means good in this set, say `--bad 0`"
            )
        if one.shipped is not None:
            told = one.shipped
            recall, alarms = number(told.recall), "–" if math.isnan(told.alarms) else f"{told.alarms:.4f}"
            lines.append(
                f"{one.name}: above the shipped threshold {told.threshold}: recall {recall}, false alarms {alarms}"
            )
    return lines


def as_json(found: Sequence[Measured]) -> list[dict[str, Any]]:
    """JSON without NaN: what cannot be told is null."""
    return [_plain(_set(one)) for one in found]


def _set(one: Measured) -> dict[str, Any]:
    return {
        "set": one.name,
        "rows": len(one.rows),
        "bad": int(one.bad.sum()),
        "groups": one.groups,
        "unscored": one.unscored,
        "calibration_error": one.calibration,
        "reliability": [asdict(each) for each in one.reliability],
        "shipped": asdict(one.shipped) if one.shipped else None,
        "figures": [
            {
                "score": figure.name,
                "auroc": figure.auroc,
                "auroc_interval": list(figure.auroc_interval),
                "auprc": figure.auprc,
                "auprc_interval": list(figure.auprc_interval),
                "false_alarms_at_90_recall": figure.alarms,
                **asdict(figure.decided),
            }
            for figure in one.figures
        ],
    }


def _plain(value: Any) -> Any:
    match value:
        case float():
            return None if math.isnan(value) else value
        case Mapping():
            return {key: _plain(one) for key, one in value.items()}
        case list():
            return [_plain(one) for one in value]
    return value
