"""A report as people read it in a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console, RenderableType
from rich.table import Table as Grid
from rich.text import Text

from gateway.report.figures import TIMES, Report, Row
from gateway.report.tables import Table, grouped, ms, others, usd

_BARS = "▁▂▃▄▅▆▇█"
_COLUMNS = 72  # of a line of bars
_PADDING = (0, 2, 0, 0)


def show(report: Report, out: Console) -> None:
    for part in _parts(report):
        out.print(part, "")


def _parts(report: Report) -> Iterator[RenderableType]:
    if not report.whole.exchanges:
        yield Text("There are no exchanges in it.")
        return
    yield _heading(report)
    for name, rows in report.groups.items():
        yield _table(grouped(name, rows))
        if name in TIMES:
            yield _course(rows)
    yield from map(_table, others(report))


def _heading(report: Report) -> Text:
    whole = report.whole
    span = f"{report.began:%Y-%m-%d %H:%M:%S} to {report.ended:%Y-%m-%d %H:%M:%S} UTC" if report.began else ""
    rate = whole.exchanges / report.seconds if report.seconds else 0.0
    return Text(
        f"{span}\n{whole.exchanges:,} exchanges, {rate:.2f} a second; {whole.failed:.2%} failed,"
        f" {whole.refused:.2%} refused; {whole.input_tokens:,} tokens in,"
        f" {whole.output_tokens:,} out; ${usd(report.usd)}\n"
        f"total P50 {ms(whole.total_ms, 0)}, P95 {ms(whole.total_ms, 1)}, P99 {ms(whole.total_ms, 2)} ms;"
        f" first token P50 {ms(whole.first_token_ms, 0)}, P95 {ms(whole.first_token_ms, 1)} ms"
    )


def _course(rows: Sequence[Row]) -> Text:
    """How exchanges, slow ones and cost went over time, as bars."""
    lines = {
        "exchanges": [float(row.exchanges) for row in rows],
        "P95 ms": [row.total_ms[1] if row.total_ms else 0.0 for row in rows],
        "cost $": [row.usd for row in rows],
    }
    return Text("\n".join(f"  {name:<10} {bars(values)}" for name, values in lines.items()), "cyan")


def bars(values: Sequence[float]) -> str:
    """One character a value; of more values than fit, means of neighbours."""
    wide = -(-len(values) // _COLUMNS) or 1
    means = [sum(part) / len(part) for at in range(0, len(values), wide) if (part := values[at : at + wide])]
    top = max(means, default=0.0) or 1.0
    return "".join(_BARS[min(len(_BARS) - 1, int(value / top * len(_BARS)))] for value in means)


def _table(given: Table) -> Grid:
    grid = Grid(title=given.title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=_PADDING)
    for word in given.words:
        grid.add_column(word, header_style="dim", overflow="fold")
    for number in given.numbers:
        grid.add_column(number, header_style="dim", justify="right", no_wrap=True)
    for row in given.rows:
        grid.add_row(*(Text(cell) for cell in row))
    return grid
