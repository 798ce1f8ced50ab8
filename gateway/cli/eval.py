"""`tidegate eval`: labelled rows to figures, in this process, with a bar."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gateway.config.wording import near
from gateway.errors import ConfigError
from gateway.evaluation import page, report
from gateway.evaluation.measured import Measured
from gateway.evaluation.suites import GROUNDEDNESS, SUITES, Asked, compared, evaluate, given, judge, sets


@dataclass(frozen=True, slots=True)
class Wanted:
    """The command's options, as they were given."""

    suite: str
    data: Sequence[Path]
    scorer: str
    scores: Path | None
    bad: Sequence[str]
    limit: int
    html: Path | None
    as_json: Path | None


def evaluated(wanted: Wanted) -> int:
    """Evaluate, print the figures; the exit code. Problems go to standard error."""
    try:
        asked = _asked(wanted)
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    try:
        found = _found(asked, wanted.scores)
    except ConfigError as refused:
        sys.stderr.writelines(f"{problem}\n" for problem in refused.problems)
        return 1
    _shown(found)
    return _written(found, wanted)


def _asked(wanted: Wanted) -> Asked:
    """A file or folder in the place of a suite is answers with contexts. Raises `ValueError` for what is neither."""
    suite, data = wanted.suite, tuple(wanted.data)
    if suite not in SUITES and Path(suite).exists():
        suite, data = GROUNDEDNESS, (Path(suite), *data)
    if suite not in SUITES:
        raise ValueError(
            f"--suite: no suite, file or folder {suite!r}{near(suite, SUITES)}; suites: {', '.join(SUITES)}"
        )
    if not data:
        raise ValueError("--data: name a file or a folder of labelled rows; none come with the gateway")
    return Asked(suite, data, wanted.scorer, tuple(wanted.bad), wanted.limit)


def _found(asked: Asked, scores: Path | None) -> list[Measured]:
    rows = sets(asked)
    total = sum(map(len, rows.values()))
    if scores:
        whole = {asked.data[0].stem: [row for some in rows.values() for row in some]}
        return compared(asked, whole, {asked.data[0].stem: given(scores, total)}, scores.stem)
    judge(asked)  # a wrong name is told before anything is read by a model
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("scoring", total=total)
        return evaluate(asked, rows, lambda count: bar.advance(task, count))


def _shown(found: Sequence[Measured]) -> None:
    out = Console(width=None if sys.stdout.isatty() else 160)
    out.print(report.table(found))
    for line in report.notes(found):
        out.print(line, markup=False, highlight=False, soft_wrap=True)


def _written(found: Sequence[Measured], wanted: Wanted) -> int:
    if wanted.as_json:
        wanted.as_json.parent.mkdir(parents=True, exist_ok=True)
        wanted.as_json.write_text(json.dumps(report.as_json(found), indent=2, ensure_ascii=False) + "\n")
    if wanted.html:
        try:
            page.write(wanted.html, f"Evaluation: {wanted.suite}", found)
        except ModuleNotFoundError as missing:
            sys.stderr.write(f"--html: {missing.name} is not installed; `pip install 'tidegate[report]'` brings it\n")
            return 1
    return 0
