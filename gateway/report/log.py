"""Exchanges of a log, read once into DuckDB: JSON lines, plain or compressed, and Parquet files made of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import duckdb

from gateway.errors import TidegateError

_RAIL = 'STRUCT(stage VARCHAR, rail VARCHAR, "action" VARCHAR, rules VARCHAR[], fault VARCHAR, enforced BOOLEAN)[]'

COLUMNS = MappingProxyType(
    {
        "event": "VARCHAR",
        "ts": "TIMESTAMP",  # UTC
        "id": "VARCHAR",
        **dict.fromkeys(("principal", "endpoint", "model", "route", "policy", "upstream"), "VARCHAR"),
        **dict.fromkeys(("outcome", "verdict", "error"), "VARCHAR"),
        "status": "SMALLINT",
        **dict.fromkeys(("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens"), "BIGINT"),
        **dict.fromkeys(("cost_usd", "gpu_usd", "total_ms", "first_token_ms", "overhead_ms"), "DOUBLE"),
        "judgements": _RAIL,
        "scores": "MAP(VARCHAR, DOUBLE)",
    }
)
"""What a report asks for, by the name it has in an event; all else in a line is skipped over."""

_EVENTS = ("exchange.completed", "score.recorded", "server.started", "server.stopped")
_LINES = (".jsonl", ".ndjson", ".json", ".jsonl.gz", ".jsonl.zst", ".log")


class NoLog(TidegateError):
    """The files given are no event log, or cannot be read."""


@dataclass(frozen=True, slots=True)
class Log:
    """`ask` takes SQL over the tables `exchanges` and `scores`."""

    base: duckdb.DuckDBPyConnection

    def ask(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self.base.execute(sql, values).fetchall()


@contextmanager
def opened(files: Sequence[Path], since: datetime | None = None, until: datetime | None = None) -> Iterator[Log]:
    """The events of `files` from `since` on and before `until`, both UTC. A torn line is no event. Raises `NoLog`."""
    with duckdb.connect() as base:
        base.execute("SET preserve_insertion_order = false")
        try:
            base.execute(f"CREATE TEMP VIEW lines AS {' UNION ALL BY NAME '.join(_sources(files))}")
            _fill(base, since, until)
        except duckdb.Error as error:
            raise NoLog(f"no event log: {str(error).splitlines()[0]}") from None
        yield Log(base)


def compact(files: Sequence[Path], to: Path) -> None:
    """Write what reports need of `files` as Parquet: about a tenth of the size. Raises `NoLog`."""
    with duckdb.connect() as base:
        try:
            rows = " UNION ALL BY NAME ".join(_sources(files))
            base.execute(f"COPY ({rows}) TO {_text(str(to))} (FORMAT parquet, COMPRESSION zstd)")
        except duckdb.Error as error:
            raise NoLog(f"no event log: {str(error).splitlines()[0]}") from None


def _fill(base: duckdb.DuckDBPyConnection, since: datetime | None, until: datetime | None) -> None:
    """One pass over the files; lines are parsed once, whatever is asked of them later."""
    within = "($1 IS NULL OR ts >= $1) AND ($2 IS NULL OR ts < $2)"
    base.execute(f"CREATE TEMP TABLE events AS SELECT * FROM lines WHERE {within}", [since, until])  # noqa: S608
    base.execute("CREATE TEMP VIEW exchanges AS SELECT * FROM events WHERE event = 'exchange.completed'")
    base.execute("CREATE TEMP VIEW scores AS SELECT id, scores FROM events WHERE event = 'score.recorded'")


def _sources(files: Sequence[Path]) -> Iterator[str]:
    """A query for each kind of file there is."""
    lines = [file for file in files if file.suffix != ".parquet"]
    for file in lines:
        if not file.name.endswith(_LINES):
            raise NoLog(f"{file}: an event log ends in one of {', '.join((*_LINES, '.parquet'))}")
    wanted = f"WHERE event IN ({_list(_EVENTS)})"
    if lines:
        columns = ", ".join(f"{_text(name)}: {_text(kind)}" for name, kind in COLUMNS.items())
        settings = f"format = 'newline_delimited', columns = {{{columns}}}, ignore_errors = true"
        most = "maximum_object_size = 67108864"
        yield f"SELECT * FROM read_json([{_list(lines)}], {settings}, {most}) {wanted}"  # noqa: S608 - quoted by `_text`
    if packed := [file for file in files if file.suffix == ".parquet"]:
        yield f"SELECT {', '.join(COLUMNS)} FROM read_parquet([{_list(packed)}]) {wanted}"  # noqa: S608


def _list(values: Iterable[object]) -> str:
    return ", ".join(_text(str(value)) for value in values)


def _text(value: str) -> str:
    """`value` as SQL writes a text."""
    return "'" + value.replace("'", "''") + "'"
