"""`tidegate check`: what a configuration amounts to, or all that is wrong with it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.app import events_path
from gateway.cli.loading import loaded, told
from gateway.config.schema import AnyUpstream, Config
from gateway.errors import ConfigError, Problem, TidegateError
from gateway.policy.load import policies
from gateway.policy.policy import Bound, Policy
from gateway.policy.rail import Tools
from gateway.serve import READY_S, hosts, runtime
from gateway.worker.client import Client
from gateway.worker.supervisor import Host, Supervisor

_WORKERS = ("guardrails", "nemo", "pii", "scorer")


def checked(file: Path, *, engines: bool) -> int:
    """Print the summary of `file`, or its problems to standard error; the exit code."""
    config = loaded(file)
    tools = Tools({name: Client(Path(name), name=name) for name in _WORKERS})
    found, problems = _tried(lambda: policies(config.policies, config.folder, tools))
    with runtime() as folder:
        workers, more = _tried(lambda: hosts(config, folder))
        if problems or more:
            told([*problems, *more])
            return 1
        out = Console(highlight=False, soft_wrap=True)
        _summary(out, config, found)
        return asyncio.run(_started(out, workers)) if engines else 0


def _tried(make: Callable[[], Any]) -> tuple[Any, list[Problem]]:
    try:
        return make(), []
    except ConfigError as refused:
        return None, refused.problems


def _summary(out: Console, config: Config, found: dict[str, Policy]) -> None:
    server, keys = config.gateway.server, len(config.gateway.keys)
    out.print(f"{config.file} is in order.\n")
    out.print(f"listens on  {server.host}:{server.port}, {f'{keys} keys' if keys else 'open to this machine'}")
    out.print(f"events      {events_path(config)}, capture {config.gateway.events.capture}\n")
    out.print(_upstreams(config), "", _routes(config), "")
    for policy in found.values():
        out.print(_policy(policy), "")


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


def _policy(policy: Policy) -> Table:
    spec = policy.spec
    table = _table(
        f"policy {spec.name}", f"{spec.mode}, {spec.deadline_ms} ms, on error {spec.on_error}", policy.digest
    )
    for stage, bounds in (("input", policy.input), ("output", policy.output)):
        for bound, rail in zip(bounds, spec.input if stage == "input" else spec.output, strict=True):
            table.add_row(
                *map(Text, (f"  {stage}", f"{rail.kind} {bound.rail.name}", f"{rail.action}{_held(stage, bound)}"))
            )
        if not bounds:
            table.add_row(f"  {stage}", "not judged", "")
    return table


def _held(stage: str, bound: Bound) -> str:
    """How much of a stream the rail holds back at most."""
    held = {"match": "a possible match", "sentence": "a sentence", "answer": "the whole answer"}
    return f"; holds back {held[bound.rail.unit.value]}" if stage == "output" else ""


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
