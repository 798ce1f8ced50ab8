"""What `tidegate drift` does: rows found, encoded where need be, handed to a monitor of its own, the answer shown."""

from __future__ import annotations

import asyncio
import base64
import sys
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Self

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from gateway.cli.line import plain
from gateway.cli.loading import loaded
from gateway.cli.recorded import Log, Recorded
from gateway.config.schema import Config
from gateway.errors import TidegateError
from gateway.observe.spool import Record, Spool
from gateway.serve import watching
from gateway.serve.crew import READY_S
from gateway.serve.folder import runtime
from gateway.worker.client import Client
from gateway.worker.supervisor import Host, Supervisor

AT_ONCE = 32  # texts in one call of the scorer
DEADLINE_S = 300.0
MOST = 5_000  # exchanges of a log that are encoded, the first ones; a minute or two on a CPU
_BOUND = 1 << 40  # of a spool that nobody else reads

Json = Any


@dataclass(frozen=True, slots=True)
class Source:
    """Where rows come from: `logs`, or what the monitor of `config` has gathered."""

    config: Config
    logs: Sequence[Path]
    rows: int
    seed: int

    @classmethod
    def of(cls, config: Path, logs: Sequence[Path] | None, rows: int, seed: int) -> Self:
        return cls(loaded(config), logs or (), rows, seed)

    @property
    def state(self) -> Path:
        """The monitor's folder. Ends the command where there is none."""
        monitor = self.config.gateway.monitor
        if monitor is None:
            typer.echo("the configuration has no `monitor`: give logs and --to or --against, or add it", err=True)
            raise typer.Exit(1)
        return watching.state(self.config, monitor)

    @property
    def reference(self) -> Path:
        return self.state / "reference.npz"


def referred(source: Source, to: Path | None) -> int:
    """Make a reference; the exit code."""
    path = to or source.reference
    found = _run(source, "reference", {"to": str(path.resolve())}, {})
    if found is None:
        return 1
    counts = ", ".join(f"{count:,} {stream}" for stream, count in found["rows"].items())
    typer.echo(f"{path}: {counts}; digest {found['digest']}")
    return 0


def checked(source: Source, against: Path | None, alpha: float, out: Path | None) -> int:
    """Check, print, and write `out`; the exit code."""
    path = against or source.reference
    texts: dict[str, str] = {}
    found = _run(source, "check", {"reference": str(path.resolve()), "alpha": alpha}, texts)
    if found is None:
        return 1
    _print(found, alpha)
    if out:
        from gateway.report.drift import page  # noqa: PLC0415 - charts are an extra

        out.write_text(page(found, texts), "utf-8")
        typer.echo(f"\nwritten: {out}")
    return 1 if any(one["drifting"] for one in found["streams"]) else 0


def _run(source: Source, method: str, payload: Mapping[str, Json], texts: dict[str, str]) -> Json:
    """The monitor's answer; None where there was none, and why went to standard error."""
    try:
        return asyncio.run(_asked(source, method, payload, texts))
    except (TidegateError, OSError) as error:
        typer.echo(getattr(error, "message", None) or str(error), err=True)
        return None


async def _asked(source: Source, method: str, payload: Mapping[str, Json], texts: dict[str, str]) -> Json:
    with runtime() as folder:
        asked = {**payload, "rows": source.rows, "seed": source.seed}
        if source.logs:
            spool = await _encoded(source, folder, texts)
            asked |= {"events": [str(log.resolve()) for log in source.logs], "spools": [str(spool)] if spool else []}
        else:
            asked["state"] = str(source.state)
        async with _worker(Host(watching.NAME, watching.ENGINE, {}, folder / watching.NAME)) as monitor:
            return await monitor.call(method, asked, deadline_s=DEADLINE_S)


@asynccontextmanager
async def _worker(host: Host) -> AsyncGenerator[Client, None]:
    async with AsyncExitStack() as stack:
        supervisor = await stack.enter_async_context(Supervisor([host], lambda *_: None))
        await supervisor.ready(READY_S)
        yield await stack.enter_async_context(Client(host.socket, name=host.name))


async def _encoded(source: Source, folder: Path, texts: dict[str, str]) -> Path | None:
    """A spool of the texts in the logs; None where there are none. Prompts are put into `texts`, by exchange."""
    found = list(islice((one for log in source.logs for one in _exchanges(log)), MOST))
    scoring = source.config.gateway.scoring
    if not found or scoring is None:
        typer.echo("no texts in the logs (`events.capture`): vectors are not compared", err=True)
        return None
    spool = Spool(folder / "vectors", _BOUND)
    async with _worker(Host("scorer", "gateway.scoring.engine", {"encoder": scoring.encoder}, folder / "s")) as scorer:
        with _bar() as bar:
            task = bar.add_task("", total=2 * len(found))
            for kind in ("prompt", "answer"):
                for at in range(0, len(found), AT_ONCE):
                    some = [(one.id, text) for one in found[at : at + AT_ONCE] if (text := _text(one, kind))]
                    texts |= dict(some) if kind == "prompt" else {}
                    await _spooled(scorer, spool, kind, some)
                    bar.advance(task, len(found[at : at + AT_ONCE]))
    return spool.path


async def _spooled(scorer: Client, spool: Spool, kind: str, some: Sequence[tuple[str, str]]) -> None:
    if not some:
        return
    payload = {"texts": [text for _, text in some], "kind": kind}
    answer = await scorer.call("vectors", payload, deadline_s=DEADLINE_S)
    spool.put(_record(id_, told) for (id_, _), told in zip(some, answer["vectors"], strict=True))


def _record(id_: str, told: Mapping[str, Json]) -> Record:
    return Record(
        {"id": id_, "at": 0.0, **{k: v for k, v in told.items() if k != "vector"}}, base64.b64decode(told["vector"])
    )


def _exchanges(log: Path) -> Iterator[Recorded]:
    yield from Log(log).exchanges()


def _text(one: Recorded, kind: str) -> str:
    """The last turn of a user, or what was answered."""
    if kind == "prompt":
        said = [p.text for p in one.input if p.role == "user" and p.channel == "content"]
        return said[-1] if said else ""
    return "\n".join(p.text for _, p in one.output if p.channel == "content")


def _bar() -> Progress:
    return Progress(
        TextColumn("encoding"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
        transient=True,
    )


# What is printed…


def _print(found: Json, alpha: float) -> None:
    out = Console(highlight=False)
    out.width = max(out.width, 110)
    if not found["streams"]:
        out.print("There is nothing to compare.")
    for one in found["streams"]:
        word = Text("drifts", "bold red") if one["drifting"] else Text("as it was", "green")
        out.print(Text.assemble((one["stream"], "bold"), ": ", word, f"  p = {one['p_value']:.4f}", _sizes(one)))
        _topics(out, one["topics"])
        _shifts(out, [shift for shift in one["shifts"] if shift["adjusted"] <= alpha])


def _sizes(one: Json) -> tuple[str, str]:
    return f"  ({one['rows']:,} rows against {one['reference_rows']:,})", "dim"


def _topics(out: Console, topics: Sequence[Json]) -> None:
    if topics:
        table = _table("  new topic", "rows", "now", "before", "examples")
        for topic in topics:
            name = ", ".join(topic["terms"]) or topic["id"]
            shares = f"{topic['share']:.1%}", f"{topic['before']:.1%}"
            table.add_row(*map(Text, (f"  {plain(name)}", str(topic["size"]), *shares, plain(topic["examples"][0]))))
        out.print(table)


def _shifts(out: Console, shifts: Sequence[Json]) -> None:
    if shifts:
        table = _table("  feature", "p, adjusted", "before", "now")
        for shift in shifts:
            sides = (_values(shift[side]) for side in ("before", "after"))
            table.add_row(*map(Text, (f"  {plain(shift['feature'])}", f"{shift['adjusted']:.4f}", *sides)))
        out.print(table)


def _values(values: Mapping[str, float]) -> str:
    return ", ".join(f"{plain(name)} {value:.3g}" for name, value in [*values.items()][:5])


def _table(*titles: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    for title in titles:
        table.add_column(Text(title))
    return table
