"""What `tidegate data` does."""

from __future__ import annotations

import sqlite3
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import orjson
import typer

from gateway.cli.loading import loaded
from gateway.data.proof import remains
from gateway.data.row import hidden
from gateway.data.store import By, Store
from gateway.serve import keeping


def located(config: Path, file: Path | None) -> Path:
    """The store: `file`, or the one of the configuration. Raises `typer.Exit` where it has none."""
    if file is not None:
        return file
    settings = loaded(config)
    if settings.gateway.data is None:
        raise typer.BadParameter("this configuration has no `data`", param_hint="--config")
    return keeping.file(settings, settings.gateway.data)


def listed(config: Path, file: Path | None, reason: str, limit: int) -> int:
    def show(store: Store) -> None:
        found = ((row, said) for row, said in store.rows() if not reason or reason in row.reasons)
        for row, said in deque(found, limit):
            heard = ", ".join(f"{one.name}={one.label or one.value}" for one in said)
            typer.echo(
                f"{_time(row.at)}  {row.id}  {row.key or '-'}  {row.route}  {','.join(sorted(row.reasons))}  {heard}"
            )

    return _with(located(config, file), show)


def counted(config: Path, file: Path | None) -> int:
    def show(store: Store) -> None:
        for name, number in store.counts().items():
            typer.echo(f"{name:<16} {number:>9,}")
        reasons = Counter(reason for row, _ in store.rows() for reason in row.reasons)
        for reason, number in sorted(reasons.items()):
            typer.echo(f"  {reason:<14} {number:>9,}")

    return _with(located(config, file), show)


def logged(config: Path, file: Path | None) -> int:
    def show(store: Store) -> None:
        for number, (row, said) in enumerate(store.rows(), 1):
            head = {"ts": _time(row.at), "process": 0, "seq": number}
            event = {"event": "exchange.completed", **head, **row.record, "captured": row.texts}
            typer.echo(orjson.dumps(event).decode())
            for one in said:
                told = {"name": one.name, "value": one.value, "label": one.label, "source": one.source}
                heard = {"event": "feedback.received", **head, "id": row.id, "route": row.route, **told}
                typer.echo(orjson.dumps({**heard, "corrected": bool(one.correction)}).decode())

    return _with(located(config, file), show)


def deleted(config: Path, file: Path | None, wanted: Mapping[str, Sequence[str]]) -> int:
    path, left = located(config, file), 0

    def forget(store: Store) -> None:
        nonlocal left
        gone, texts = 0, list[str]()
        for by, said in wanted.items():
            values = [hidden(value) for value in said] if by == "user" else list(said)
            more, found = store.forget(cast("By", by), values) if values else (0, [])
            gone, texts = gone + more, texts + found
        left = remains(path, texts, _all(store))
        told = f"{left:,} pieces of their texts are left" if left else "not a piece of their texts is left"
        typer.echo(f"{gone:,} exchanges deleted; {told} in {path}")

    return _with(path, forget, write=True) or int(left > 0)


def _all(store: Store) -> list[str]:
    """Every text that is kept."""
    found: list[str] = []
    for row, _ in store.rows():
        found += [said["text"] for side in ("input", "output") for said in row.texts.get(side, ())]
    for told in store.feedback().values():
        found += [text for one in told for text in (one.comment, one.correction) if text]
    return found


def _with(path: Path, do: Callable[[Store], None], *, write: bool = False) -> int:
    try:
        Store.open(path, write=False).db.close()  # deleting from what is not there makes no file
        with Store.open(path, write=write) as store:
            do(store)
    except FileNotFoundError:
        typer.echo(f"{path}: nothing is kept there yet", err=True)
        return 1
    except sqlite3.Error as error:
        typer.echo(f"{path}: {error}", err=True)
        return 1
    return 0


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
