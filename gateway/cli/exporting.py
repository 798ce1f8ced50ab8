"""What `tidegate export` does."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast, get_args

import orjson
import typer

from gateway.cli.kept import located
from gateway.config.wording import near
from gateway.data.card import Made, write
from gateway.data.dataset import Balance, balanced, split, unique
from gateway.data.examples import FORMATS, Format, Left, examples, turns
from gateway.data.store import Store


@dataclass(frozen=True, slots=True)
class Wanted:
    form: Format
    balance: Balance | None
    shares: Sequence[float]
    out: Path
    unjudged: bool = False
    without: Sequence[Path] = ()
    reason: str = ""
    since: float = 0.0
    note: str = ""


def read(form: str, balance: str, shares: str) -> tuple[Format, Balance | None, Sequence[float]]:
    """Raises `typer.BadParameter` for what is none."""
    if form not in FORMATS:
        raise typer.BadParameter(
            f"no format {form!r}{near(form, FORMATS)}: {', '.join(FORMATS)}", param_hint="--format"
        )
    if balance not in {"", *get_args(Balance)}:
        raise typer.BadParameter("balance by label, topic or route", param_hint="--balance")
    try:
        parts = [float(word) for word in shares.split(",")]
    except ValueError:
        parts = []
    if len(parts) != 3 or min(parts) < 0 or abs(sum(parts) - 1) > 1e-6:
        raise typer.BadParameter("three shares that make 1, such as 0.8,0.1,0.1", param_hint="--split")
    return form, cast("Balance", balance) if balance else None, parts


def exported(config: Path, file: Path | None, wanted: Wanted) -> int:
    """Write a data set; 1 where there is nothing to write."""
    path, left = located(config, file), Left()
    try:
        with Store.open(path, write=False) as store:
            rows = [one for one in store.rows(wanted.since) if not wanted.reason or wanted.reason in one[0].reasons]
    except FileNotFoundError:
        typer.echo(f"{path}: nothing is kept there yet", err=True)
        return 1
    except sqlite3.Error as error:
        typer.echo(f"{path}: {error}", err=True)
        return 1
    found = examples(turns(rows, left), wanted.form, left, unjudged=wanted.unjudged)
    once = unique(found, [text for one in wanted.without for text in _questions(one)])
    chosen = balanced(once.kept, wanted.balance) if wanted.balance else once.kept
    made = Made(
        wanted.form,
        split(chosen, wanted.shares),
        once,
        +left.why,
        wanted.balance or "",
        path.name,
        time.time(),
        wanted.note,
    )
    if not made.all:
        typer.echo(f"nothing to export of {len(rows):,} exchanges; left out: {dict(+left.why)}", err=True)
        return 1
    manifest = write(made, wanted.out)
    parts = ", ".join(f"{part} {number:,}" for part, number in manifest["parts"].items())
    typer.echo(f"{manifest['rows']:,} rows ({parts}) in {wanted.out}, {manifest['digest'][:19]}")
    return 0


def _questions(file: Path) -> list[str]:
    """Texts of a golden set: `question`, `input` or `prompt` of each line."""
    found: list[str] = []
    for number, line in enumerate(file.read_bytes().splitlines(), 1):
        try:
            row = orjson.loads(line)
            found.append(next(str(row[name]) for name in ("question", "input", "prompt", "text") if row.get(name)))
        except (orjson.JSONDecodeError, AttributeError, StopIteration):
            raise typer.BadParameter(f"{file}:{number}: no `question`, `input`, `prompt` or `text`") from None
    return found
