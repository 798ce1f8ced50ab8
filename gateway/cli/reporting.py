"""`tidegate report`: what a log amounts to."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path

import typer
from rich.console import Console

from gateway.config.load import load
from gateway.config.wording import near
from gateway.errors import ConfigError

Span = tuple[datetime | None, datetime | None]


def reported(logs: Sequence[Path], by: Sequence[str], span: Span, config: Path, html: Path | None) -> int:
    """Print a report, and write it to `html` if there is one. Returns the exit code."""
    _installed("duckdb", *(["matplotlib"] if html else []))
    from gateway.report.figures import GROUPS, report  # noqa: PLC0415 - an extra, which was looked for
    from gateway.report.log import NoLog, opened  # noqa: PLC0415
    from gateway.report.screen import show  # noqa: PLC0415

    for name in by:
        if name not in GROUPS:
            raise typer.BadParameter(f"{name!r} is none of {', '.join(GROUPS)}{near(name, GROUPS)}", param_hint="--by")
    out = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    try:
        with Console(stderr=True).status("reading"), opened(logs, *span) as log:
            found = report(log, by, _hourly(config))
    except NoLog as error:
        typer.echo(error.message, err=True)
        return 1
    show(found, out)
    if html:
        from gateway.report.page import page  # noqa: PLC0415

        html.write_text(page(found))
        typer.echo(f"The page is {html}")
    return 0


def compacted(logs: Sequence[Path], to: Path) -> int:
    """Write `logs` as Parquet. Returns the exit code."""
    _installed("duckdb")
    from gateway.report.log import NoLog, compact  # noqa: PLC0415

    try:
        with Console(stderr=True).status("reading"):
            compact(logs, to)
    except NoLog as error:
        typer.echo(error.message, err=True)
        return 1
    before = sum(log.stat().st_size for log in logs)
    typer.echo(f"{to}: {to.stat().st_size / 1e6:,.1f} MB of {before / 1e6:,.1f} MB")
    return 0


def _installed(*packages: str) -> None:
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        typer.echo(f"{' and '.join(missing)} is not installed: pip install 'tidegate[report]'", err=True)
        raise typer.Exit(1)


def _hourly(config: Path) -> Mapping[str, float]:
    """What upstreams' GPUs cost an hour; nothing where there is no such file, or it cannot be read without secrets."""
    if not config.is_file():
        return {}
    try:
        upstreams = load(config, os.environ).gateway.upstreams
    except ConfigError as refused:
        typer.echo(f"{config} has problems, so no GPU is priced by the hour: {refused.problems[0]}", err=True)
        return {}
    return {spec.name: spec.gpu_usd_per_hour for spec in upstreams if spec.gpu_usd_per_hour}
