"""A report as people read it in a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from gateway.report.figures import TIMES, Report, Row

_BARS = "▁▂▃▄▅▆▇█"
_COLUMNS = 72  # of a line of bars


def show(report: Report, out: Console) -> None:
    for part in _parts(report):
        out.print(part, "")


def _parts(report: Report) -> Iterator[RenderableType]:
    if not report.whole.exchanges:
        yield Text("There are no exchanges in it.")
        return
    yield _heading(report)
    for name, rows in report.groups.items():
        yield _group(name, rows)
        if name in TIMES:
            yield _course(rows)
    if report.refusals:
        yield _table("refused by", ["policy", "stage", "rail", "rule"], ["stopped", "watched"], (
            [r.policy, r.stage, r.rail, r.rule, f"{r.stopped:,}", f"{r.watched:,}"] for r in report.refusals
        ))  # fmt: skip
    if report.failures:
        failures = ([f.upstream, str(f.status), f.error, f"{f.count:,}"] for f in report.failures)
        yield _table("went wrong", ["upstream", "status", "error"], ["exchanges"], failures)
    if report.scores:
        scores = ([s.metric, f"{s.answers:,}", f"{s.mean:.3f}", *(f"{v:.3f}" for v in s.spread)] for s in report.scores)
        yield _table("scores", ["metric"], ["answers", "mean", "P5", "P50", "P95"], scores)
    if report.machines:
        machines = (
            [m.upstream, f"{m.hours:,.2f}", usd(m.bill), usd(m.attributed), usd(m.idle)] for m in report.machines
        )
        yield _table("machines", ["upstream"], ["hours", "bill $", "used $", "idle $"], machines)


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


def _group(name: str, rows: Sequence[Row]) -> Table:
    numbers = ["exchanges", "failed", "refused", "in", "out", "cost $", "$ each", "P50 ms", "P95", "P99", "first P50"]
    return _table(f"by {name}", [name], numbers, (_cells(row) for row in rows))


def _cells(row: Row) -> list[str]:
    return [
        row.name,
        f"{row.exchanges:,}",
        f"{row.failed:.1%}",
        f"{row.refused:.1%}",
        f"{row.input_tokens:,}",
        f"{row.output_tokens:,}",
        usd(row.usd),
        usd(row.usd_each),
        *(ms(row.total_ms, at) for at in range(3)),
        ms(row.first_token_ms, 0),
    ]


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


def _table(title: str, words: Sequence[str], numbers: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for word in words:
        table.add_column(word, header_style="dim", overflow="fold")
    for number in numbers:
        table.add_column(number, header_style="dim", justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def usd(dollars: float) -> str:
    """Dollars to the micro-dollar where there are few of them."""
    return f"{dollars:,.2f}" if dollars >= 1000 else f"{dollars:.6f}"


def ms(times: Sequence[float] | None, at: int) -> str:
    return f"{times[at]:,.0f}" if times else "–"
