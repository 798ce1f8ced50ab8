"""`tidegate check`: what a configuration amounts to, or all that is wrong with it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.app import events_path
from gateway.cli.loading import loaded
from gateway.config.schema import AnyUpstream, Config
from gateway.errors import TidegateError
from gateway.policy.load import policies
from gateway.policy.policy import Bound, Policy
from gateway.serve.crew import READY_S
from gateway.serve.folder import runtime
from gateway.serve.needs import hosts
from gateway.serve.reading import tools
from gateway.worker.supervisor import Host, Supervisor

_WIDTH = 110  # a terminal that is narrower wraps, a file or a pipe need not


def checked(file: Path, *, engines: bool) -> int:
    """Print the summary of `file`, or its problems to standard error; the exit code."""
    config = loaded(file)
    out = Console(highlight=False)
    out.width = max(out.width, _WIDTH)
    _summary(out, config, policies(config.policies, config.folder, tools(config.folder)))
    if not engines:
        return 0
    with runtime() as folder:
        return asyncio.run(_started(out, hosts(config, folder)))


def _summary(out: Console, config: Config, found: dict[str, Policy]) -> None:
    server, keys = config.gateway.server, len(config.gateway.keys)
    out.print(f"{config.file} is in order.\n")
    out.print(f"listens on  {server.host}:{server.port}, {f'{keys} keys' if keys else 'open to this machine'}")
    out.print(f"events      {events_path(config)}, capture {config.gateway.events.capture}\n")
    out.print(_upstreams(config), "", _routes(config), "")
    for policy in found.values():
        _policy(out, policy)


def _upstreams(config: Config) -> Table:
    table = _table("upstream", "kind", "model", "where")
    for spec in config.gateway.upstreams:
        table.add_row(*map(Text, (spec.name, spec.kind, spec.model or "as asked for", _where(spec))))
    return table


def _where(spec: AnyUpstream) -> str:
    return "in a process of ours" if spec.kind == "embedded" else spec.base_url or "as litellm knows it"


def _routes(config: Config) -> Table:
    table = _table("route", "upstreams, in order", "policy")
    for route in config.gateway.routes:
        table.add_row(*map(Text, (route.model, ", ".join(route.upstreams), route.policy)))
    return table


def _policy(out: Console, policy: Policy) -> None:
    spec = policy.spec
    out.print(Text(f"policy {spec.name}: {spec.mode}, {spec.deadline_ms} ms, on error {spec.on_error}", "bold"))
    table = _table("", "", "")
    table.show_header = False
    for stage, bounds in (("input", policy.input), ("output", policy.output)):
        for bound, rail in zip(bounds, spec.input if stage == "input" else spec.output, strict=True):
            acts = rail.action != "flag" and spec.mode == "enforce"
            said = f"{rail.action}{_held(bound, acts) if stage == 'output' else ''}"
            table.add_row(*map(Text, (f"  {stage}", f"{rail.kind} {bound.rail.name}", said)))
        if not bounds:
            table.add_row(f"  {stage}", "not judged", "")
    out.print(table, "")


def _held(bound: Bound, acts: bool) -> str:
    """How much of a stream the rail holds back at most."""
    held = {"match": "a possible match", "sentence": "a sentence", "answer": "the whole answer"}
    return f"; holds back {held[bound.rail.unit.value] if acts else 'nothing'}"


def _table(*titles: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for title in titles:
        table.add_column(Text(title), overflow="fold")
    return table


async def _started(out: Console, workers: list[Host]) -> int:
    """Start every worker and say how long each took, or why it cannot start."""
    results = await asyncio.gather(*(_one(host) for host in workers))
    for host, (good, said) in zip(workers, results, strict=True):
        out.print(Text(f"worker {host.name}: {said}"), style="" if good else "red")
    return 0 if all(good for good, _ in results) else 1


async def _one(host: Host) -> tuple[bool, str]:
    since = time.monotonic()
    try:
        async with Supervisor([host], lambda *_: None) as supervisor:
            await supervisor.ready(READY_S)
    except TidegateError as error:
        return False, error.message
    return True, f"ready in {time.monotonic() - since:.1f} s"
