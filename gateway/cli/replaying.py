"""What `tidegate replay` prints: two policies side by side, how their verdicts differ, and for which exchanges."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path

import orjson
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from gateway.cli.recorded import Log
from gateway.cli.replay import WORDS, Comparison, Ruling, Side, as_json, compared
from gateway.config.schema import Config

_WIDTH = 110
_SHOWN = 20  # differences; a thousand are for programs


def replayed(
    config: Config, names: tuple[str | None, str], file: Path, labels: Mapping[str, bool], *, json: bool
) -> int:
    """Compare, print to standard output, and progress to standard error; the exit code."""
    log = Log(file)
    bar = Progress(
        TextColumn("replaying"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
        transient=True,
    )
    with bar:
        task = bar.add_task("", total=file.stat().st_size)
        found = asyncio.run(compared(config, names, log, labels, lambda: bar.update(task, completed=log.read)))
    if json:
        sys.stdout.write(orjson.dumps(as_json(found, log), option=orjson.OPT_INDENT_2).decode() + "\n")
    else:
        _print(found, log)
    return 0


def _print(found: Comparison, log: Log) -> None:
    out = Console(highlight=False)
    out.width = max(out.width, _WIDTH)
    out.print(Text(_read(found, log)), "")
    if not found.exchanges:
        return
    out.print(_sides(found), "", _matrix(found), "")
    _changes(out, found)


def _read(found: Comparison, log: Log) -> str:
    said = [f"{found.exchanges:,} exchanges of {log.file}"]
    if log.without:
        said.append(f"{log.without:,} more have no text (`events.capture` was none, or they were refused)")
    if found.redacted:
        said.append(f"{found.redacted:,} have redacted text only: what was redacted then is not found again")
    if log.broken:
        said.append(f"{log.broken:,} lines could not be read")
    return "\n".join(said)


def _sides(found: Comparison) -> Table:
    table = _table("", "before", "after")
    sides = (found.before, found.after)
    table.add_row("policy", *(side.name for side in sides))
    for word in WORDS:
        if any(side.verdicts[word] for side in sides):
            table.add_row(word, *(f"{side.verdicts[word]:,}" for side in sides))
    table.add_row("would block", *(_percent(side.blocks) for side in sides))
    if any(side.labelled for side in sides):
        table.add_row("recall", *(_of(side, bad=True) for side in sides))
        table.add_row("false positives", *(_of(side, bad=False) for side in sides))
    return table


def _of(side: Side, *, bad: bool) -> str:
    share = side.recall if bad else side.false_positives
    caught, missed = side.labelled[bad, True], side.labelled[bad, False]
    return f"{_percent(share)} ({caught} of {caught + missed})"


def _matrix(found: Comparison) -> Table:
    seen = [word for word in WORDS if any(word in pair for pair in found.matrix)]
    table = _table("before ↓  after →", *seen)
    for before in seen:
        counts = [found.matrix[before, after] for after in seen]
        if any(counts):
            table.add_row(before, *(f"{count:,}" if count else "·" for count in counts))
    return table


def _changes(out: Console, found: Comparison) -> None:
    if not found.changed:
        out.print("No exchange would have come out otherwise.")
        return
    table = _table("exchange", "before", "after", "label")
    for one in found.changed[:_SHOWN]:
        label = "" if one.bad is None else "bad" if one.bad else "good"
        table.add_row(*map(Text, (one.id, _ruling(one.before), _ruling(one.after), label)))
    out.print(f"{len(found.changed):,} would have come out otherwise, or by another rail:\n", table)
    if len(found.changed) > _SHOWN:
        out.print(f"… and {len(found.changed) - _SHOWN:,} more; --json has all")


def _ruling(ruling: Ruling) -> str:
    return f"{ruling.verdict} {', '.join(ruling.by)}".strip()


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.2%}"


def _table(*titles: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for title in titles:
        table.add_column(Text(title))
    return table
