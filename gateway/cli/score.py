"""`tidegate score`: a file of answers through the scorer, as `POST /v1/score` takes them; JSON Lines or CSV out."""

from __future__ import annotations

import asyncio
import csv
import sys
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import orjson
from rich.console import Console
from rich.progress import Progress

from gateway.config.schema import Config
from gateway.errors import RequestError, WorkerError
from gateway.pipeline.scores import DEFAULT, SOURCES
from gateway.record import METRICS
from gateway.scoring import asked
from gateway.serve.crew import READY_S
from gateway.serve.folder import runtime
from gateway.serve.needs import hosts
from gateway.wire import body as json_body
from gateway.worker.client import Client
from gateway.worker.supervisor import Supervisor

AHEAD = 32  # lines under way: enough for the scorer to fill its batches
DEADLINE_S = 600.0  # a busy machine is no reason to lose a line

Row = dict[str, Any]


@dataclass(slots=True)
class Output:
    """Where rows go. A CSV has the scores and, of sentences, how many there are and the least supported one."""

    file: TextIO
    table: bool = False
    writer: Any = field(init=False)

    def __post_init__(self) -> None:
        names = ["line", "index", *METRICS, "sentences", "least_support", "least_supported", "error"]
        self.writer = csv.DictWriter(self.file, names) if self.table else None
        if self.writer:
            self.writer.writeheader()

    def put(self, row: Row) -> None:
        if self.writer:
            self.writer.writerows(_flat(row))
        else:
            self.file.write(orjson.dumps(row).decode() + "\n")


def _flat(row: Row) -> Iterator[Row]:
    if "error" in row:
        yield {"line": row["line"], "error": row["error"]}
    for one in row.get("data", ()):
        worst = min(one["sentences"], key=lambda said: said["support"], default=None)
        least = {"least_support": worst["support"], "least_supported": worst["text"].strip()} if worst else {}
        yield {"line": row["line"], "index": one["index"], **one["scores"], "sentences": len(one["sentences"]), **least}


def scored(config: Config, file: Path, out: Path | None) -> int:
    """Score every line of `file`; the exit code, 1 where a line could not be scored. Raises `WorkerError`."""
    lines = [(number, raw) for number, raw in enumerate(file.read_bytes().splitlines(), 1) if raw.strip()]
    if out is None:
        return asyncio.run(_all(config, lines, Output(sys.stdout)))
    with out.open("w", encoding="utf-8", newline="") as stream:
        return asyncio.run(_all(config, lines, Output(stream, table=out.suffix == ".csv")))


async def _all(config: Config, lines: list[tuple[int, bytes]], out: Output) -> int:
    failed = 0
    async with _scorer(config) as client:
        with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
            task = progress.add_task("scoring", total=len(lines))
            async for row in _ordered(lines, _Line(config, client)):
                failed += "error" in row
                out.put(row)
                progress.advance(task)
    sys.stderr.write(f"{len(lines) - failed} of {len(lines)} lines scored\n")
    return 1 if failed else 0


async def _ordered(lines: list[tuple[int, bytes]], score: _Line) -> AsyncGenerator[Row, None]:
    """Rows in the order of their lines, some of them under way at once."""
    going: list[asyncio.Task[Row]] = []
    async with asyncio.TaskGroup() as group:
        for number, raw in lines:
            going.append(group.create_task(score(number, raw)))
            if len(going) == AHEAD:
                yield await going.pop(0)
        for task in going:
            yield await task


@dataclass(frozen=True, slots=True)
class _Line:
    config: Config
    client: Client

    async def __call__(self, number: int, raw: bytes) -> Row:
        try:
            body = json_body.read(raw)
            items = asked.items(body, *self._policy(body))
            said = await self.client.call("score", {"items": items}, deadline_s=DEADLINE_S)
        except (RequestError, WorkerError) as error:
            return {"line": number, "error": error.message}
        return {"line": number, **_named(body), "data": asked.answer(items, said["scores"])}

    def _policy(self, body: Row) -> tuple[frozenset[str], str]:
        """What is evidence, and whose known texts count: by the line's `policy`, or the default one."""
        name = body.get("policy", DEFAULT)
        policy = self.config.policies.get(name) if isinstance(name, str) else None
        if policy is None and "policy" in body:
            raise RequestError("there is no policy of that name", param="policy")
        return (frozenset(policy.context), policy.name) if policy else (SOURCES, "")


def _named(body: Mapping[str, Any]) -> Row:
    return {"id": body["id"]} if isinstance(body.get("id"), str | int) else {}


@asynccontextmanager
async def _scorer(config: Config) -> AsyncGenerator[Client, None]:
    """The scorer of a configuration, by itself. Raises `WorkerFault` where it cannot start."""
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(runtime())
        (host,) = [host for host in hosts(config, folder) if host.name == "scorer"]
        supervisor = await stack.enter_async_context(Supervisor([host], lambda *_: None))
        await supervisor.ready(READY_S)
        yield await stack.enter_async_context(Client(host.socket, name=host.name))
