"""A report as one HTML file: charts, then the tables. It loads nothing and runs no script."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from matplotlib.axes import Axes

from gateway.report.chart import chart
from gateway.report.figures import TIMES, Report, Row
from gateway.report.tables import Table, grouped, ms, others, usd

_STYLE = """
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 18%, transparent); }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 68rem; padding: 0 1rem; }
h1 { font-size: 1.4rem } h2 { font-size: 1.05rem; margin: 2rem 0 .4rem }
.facts { display: flex; flex-wrap: wrap; gap: .8rem; padding: 0; list-style: none }
.facts li { border: 1px solid var(--line); border-radius: .5rem; padding: .5rem .9rem }
.facts b { display: block; font-size: 1.25rem; font-variant-numeric: tabular-nums }
.wide { overflow-x: auto } table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .2rem .8rem .2rem 0; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap }
th { font-weight: 500; opacity: .7 } .word { text-align: left }
figure { margin: 1rem 0 } svg { width: 100%; height: auto }
@media (prefers-color-scheme: dark) { svg { filter: invert(.88) hue-rotate(180deg) } }
"""
_BLUE, _ORANGE, _RED, _GREEN = "#2a6fb0", "#d9822b", "#c23030", "#3d8a4f"


def page(report: Report, title: str = "Tidegate report") -> str:
    """The whole file, as text."""
    parts = "\n".join(_parts(report))
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>\n<h1>{escape(title)}</h1>\n'
        f"{parts}\n</html>\n"
    )


def _parts(report: Report) -> Iterator[str]:
    if not report.whole.exchanges:
        yield "<p>There are no exchanges in it.</p>"
        return
    yield _facts(report)
    for name, rows in report.groups.items():
        yield f"<h2>By {escape(name)}</h2>"
        yield from _charts(name, rows)
        yield _table(grouped(name, rows))
    for other in others(report):
        yield f"<h2>{escape(other.title.capitalize())}</h2>"
        yield _table(other)


def _facts(report: Report) -> str:
    whole = report.whole
    facts = {
        "exchanges": f"{whole.exchanges:,}",
        "failed": f"{whole.failed:.2%}",
        "refused": f"{whole.refused:.2%}",
        "cost": f"${usd(report.usd)}",
        "cost of one": f"${usd(whole.usd_each)}",
        "tokens in / out": f"{whole.input_tokens:,} / {whole.output_tokens:,}",
        "total P50 / P95 / P99": " / ".join(ms(whole.total_ms, at) for at in range(3)) + " ms",
        "first token P50 / P95": f"{ms(whole.first_token_ms, 0)} / {ms(whole.first_token_ms, 1)} ms",
    }
    span = f"<p>{report.began:%Y-%m-%d %H:%M:%S} to {report.ended:%Y-%m-%d %H:%M:%S} UTC</p>" if report.began else ""
    return span + '<ul class="facts">' + "".join(f"<li>{k}<b>{v}</b></li>" for k, v in facts.items()) + "</ul>"


def _charts(name: str, rows: Sequence[Row]) -> Iterator[str]:
    if name in TIMES and len(rows) > 1:
        yield chart(lambda axes: _course(axes, rows), "exchanges, failed and refused ones", (10, 2.2))
        yield chart(lambda axes: _latency(axes, rows), "total time, ms (logarithmic)", (10, 2.6))
        yield chart(lambda axes: _spent(axes, rows), "cost, US dollars", (10, 2.0))
    elif len(rows) > 1:
        top = sorted(rows, key=lambda row: -row.usd)[:12]
        yield chart(lambda axes: _shares(axes, top), "cost, US dollars", (10, 0.6 + 0.28 * len(top)))


def _course(axes: Axes, rows: Sequence[Row]) -> None:
    at = range(len(rows))
    axes.fill_between(at, [row.exchanges for row in rows], color=_BLUE, alpha=0.25, lw=1, label="all")
    axes.plot(at, [row.exchanges * row.refused for row in rows], color=_ORANGE, label="refused")
    axes.plot(at, [row.exchanges * row.failed for row in rows], color=_RED, label="failed")
    _times(axes, rows)


def _latency(axes: Axes, rows: Sequence[Row]) -> None:
    for quantile, (label, colour) in enumerate((("P50", _GREEN), ("P95", _ORANGE), ("P99", _RED))):
        axes.plot([row.total_ms[quantile] if row.total_ms else float("nan") for row in rows], color=colour, label=label)
    axes.set_yscale("log")
    _times(axes, rows)


def _spent(axes: Axes, rows: Sequence[Row]) -> None:
    axes.bar(range(len(rows)), [row.usd for row in rows], color=_BLUE, width=0.9)
    _times(axes, rows, legend=False)


def _times(axes: Axes, rows: Sequence[Row], *, legend: bool = True) -> None:
    step = max(1, len(rows) // 8)
    axes.set_xticks(range(0, len(rows), step), [row.name for row in rows[::step]], fontsize=7)
    axes.margins(x=0)
    if legend:
        axes.legend(frameon=False, fontsize=8, ncols=3, loc="upper left")


def _shares(axes: Axes, rows: Sequence[Row]) -> None:
    axes.barh([row.name for row in rows][::-1], [row.usd for row in rows][::-1], color=_BLUE)


def _table(given: Table) -> str:
    words = len(given.words)

    def cells(row: Sequence[str], tag: str) -> str:
        return "".join(
            f"<{tag}{' class=word' if at < words else ''}>{escape(cell)}</{tag}>" for at, cell in enumerate(row)
        )

    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in given.rows)
    head = cells([*given.words, *given.numbers], "th")
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'
