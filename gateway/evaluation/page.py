"""The report as one HTML file that needs nothing else: figures, ROC, reliability, and the worst errors."""

from __future__ import annotations

import io
from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np

from gateway.evaluation import metrics
from gateway.evaluation.measured import Figure, Measured, worst
from gateway.evaluation.metrics import Bin
from gateway.evaluation.report import notes, number
from gateway.evaluation.rows import Row

LONGEST = 1_500  # characters of a text that are shown

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;color:#1c2733;background:#fff}
h1{font-size:1.6rem}h2{margin-top:2.5rem;border-bottom:1px solid #d5dde5}table{border-collapse:collapse;margin:1rem 0}
th,td{padding:.3rem .8rem;text-align:left;border-bottom:1px solid #e6ebf0;font-variant-numeric:tabular-nums}
tr+tr.control td{color:#6b7a89}.charts{display:flex;flex-wrap:wrap;gap:1rem}.charts svg{width:27rem;height:auto}
details{margin:.4rem 0}summary{cursor:pointer}pre{white-space:pre-wrap;background:#f4f7fa;padding:.7rem;margin:.3rem 0}
.note{color:#8a5200}
"""


def write(file: Path, title: str, found: Sequence[Measured]) -> None:
    """Raises `ModuleNotFoundError` where matplotlib is not installed (the extra `report`)."""
    body = "".join(map(_section, found))
    told = "".join(f'<p class="note">{escape(line)}</p>' for line in notes(found))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
        f"<h1>{escape(title)}</h1><p>Intervals are the bootstrap's, 95 %, over whole groups of rows. F1 and balanced "
        "accuracy are at thresholds chosen without the group they judge. A score that does not beat the length alone "
        f"has learnt nothing of this set.</p>{told}{body}</html>",
        encoding="utf-8",
    )


def _section(one: Measured) -> str:
    head = "".join(
        f"<th>{title}</th>"
        for title in ("score", "AUROC", "95 %", "AUPRC", "F1", "balanced accuracy", "false alarms at 90 % recall")
    )
    rows = "".join(_row(figure, control=at > 0) for at, figure in enumerate(one.figures))
    charts = f'<div class="charts">{roc(one.figures, one)}{reliability(one.reliability)}</div>'
    return (
        f"<h2>{escape(one.name)}</h2><p>{len(one.rows)} rows, {int(one.bad.sum())} bad, {one.groups} groups; expected "
        f"calibration error {number(one.calibration)}</p><table><tr>{head}</tr>{rows}</table>{charts}"
        f"<h3>Bad, and not seen</h3>{_errors(one, True)}<h3>Good, and accused</h3>{_errors(one, False)}"
    )


def _row(figure: Figure, *, control: bool) -> str:
    low, high = figure.auroc_interval
    decided = figure.decided
    cells = (
        escape(figure.name),
        number(figure.auroc),
        f"{number(low)} – {number(high)}",
        *map(number, (figure.auprc, decided.f1, decided.balanced, figure.alarms)),
    )
    return f'<tr class="{"control" if control else ""}">{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'


def _errors(one: Measured, kind: bool) -> str:
    scores = one.figures[0].scores
    return "".join(_error(one.rows[at], float(scores[at])) for at in worst(one, kind=kind)) or "<p>none</p>"


def _error(row: Row, score: float) -> str:
    parts = [("question", row.question), *(("context", text) for text in row.context), ("judged", row.answer)]
    shown = "".join(f"<b>{name}</b><pre>{escape(_short(text))}</pre>" for name, text in parts if text)
    about = f"{score:.3f} · {escape(row.where)} · {escape(_short(row.answer, 120))}"
    return f"<details><summary>{about}</summary>{shown}</details>"


def _short(text: str, longest: int = LONGEST) -> str:
    return text if len(text) <= longest else f"{text[:longest]} … ({len(text):,} characters)"


# Charts…


def roc(figures: Sequence[Figure], one: Measured) -> str:
    """An SVG; the scorer's curve in front of its controls'."""
    from matplotlib.figure import Figure as Chart  # noqa: PLC0415 - an extra, and heavy

    chart = Chart(figsize=(4.6, 4.2), layout="constrained")
    axes = chart.subplots()
    axes.plot([0, 1], [0, 1], color="#b8c4d0", linewidth=1, linestyle=":")
    for at, figure in reversed(list(enumerate(figures))):
        if one.bad.any() and not one.bad.all():
            _, hits, alarms = metrics.curve(figure.scores, one.bad)
            x, y = np.r_[0, alarms / (~one.bad).sum()], np.r_[0, hits / one.bad.sum()]
            axes.plot(
                x, y, label=f"{figure.name} {figure.auroc:.3f}", color=_COLOURS[at], linewidth=2 if at == 0 else 1
            )
    axes.set(xlabel="false alarms", ylabel="recall", title="ROC")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="lower right", fontsize=8, reverse=True)
    return _svg(chart)


def reliability(bins: Sequence[Bin], title: str = "Reliability") -> str:
    """An SVG; nothing where scores are no probabilities."""
    if not bins:
        return ""
    from matplotlib.figure import Figure as Chart  # noqa: PLC0415 - an extra, and heavy

    chart = Chart(figsize=(4.6, 4.2), layout="constrained")
    axes = chart.subplots()
    axes.plot([0, 1], [0, 1], color="#b8c4d0", linewidth=1, linestyle=":")
    axes.plot([one.said for one in bins], [one.was for one in bins], color=_COLOURS[0], marker="o", linewidth=2)
    for one in bins:
        axes.annotate(str(one.n), (one.said, one.was), textcoords="offset points", xytext=(5, -11), fontsize=7)
    axes.set(xlabel="probability said", ylabel="share that was bad", title=title, xlim=(0, 1), ylim=(0, 1))
    return _svg(chart)


_COLOURS = ("#0b6bcb", "#9aa7b4", "#c98a2b")


def _svg(chart: object) -> str:
    out = io.StringIO()
    # No date and no random names: the same figures give the same file.
    import matplotlib as mpl  # noqa: PLC0415 - as above

    with mpl.rc_context({"svg.hashsalt": "tidegate"}):
        chart.savefig(out, format="svg", metadata={"Date": None})  # type: ignore[attr-defined] # a matplotlib Figure
    text = out.getvalue()
    return text[text.index("<svg") :]
