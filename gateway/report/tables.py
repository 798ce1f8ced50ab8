"""A report's tables, as words: what a terminal and a page both show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gateway.report.figures import Report, Row

_NUMBERS = ("exchanges", "failed", "refused", "in", "out", "cost $", "$ each", "P50 ms", "P95", "P99", "first P50")


@dataclass(frozen=True, slots=True)
class Table:
    """Columns of `words` come first, those of `numbers` after them; `rows` have a cell for each."""

    title: str
    words: Sequence[str]
    numbers: Sequence[str]
    rows: Sequence[Sequence[str]]


def grouped(name: str, rows: Sequence[Row]) -> Table:
    """What exchanges came to by `name`: a key, a model, a day."""
    return Table(f"by {name}", [name], _NUMBERS, [_cells(row) for row in rows])


def others(report: Report) -> Iterator[Table]:
    """What else there is to tell: refusals, failures, scores, machines."""
    if report.refusals:
        rows = [[r.policy, r.stage, r.rail, r.rule, f"{r.stopped:,}", f"{r.watched:,}"] for r in report.refusals]
        yield Table("refused by", ["policy", "stage", "rail", "rule"], ["stopped", "watched only"], rows)
    if report.failures:
        rows = [[f.upstream, str(f.status), f.error, f"{f.count:,}"] for f in report.failures]
        yield Table("went wrong", ["upstream", "status", "error"], ["exchanges"], rows)
    if report.scores:
        rows = [[s.metric, f"{s.answers:,}", f"{s.mean:.3f}", *(f"{v:.3f}" for v in s.spread)] for s in report.scores]
        yield Table("scores", ["metric"], ["answers", "mean", "P5", "P50", "P95"], rows)
    if report.machines:
        rows = [[m.upstream, f"{m.hours:,.2f}", usd(m.bill), usd(m.attributed), usd(m.idle)] for m in report.machines]
        yield Table("machines paid by the hour", ["upstream"], ["hours", "bill $", "used $", "idle $"], rows)


def usd(dollars: float) -> str:
    """Dollars to the micro-dollar where there are few of them."""
    return f"{dollars:,.2f}" if dollars >= 1000 else f"{dollars:.6f}"


def ms(times: Sequence[float] | None, at: int) -> str:
    return f"{times[at]:,.0f}" if times else "–"


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
