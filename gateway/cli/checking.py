"""`tidegate check`: what a configuration amounts to, or all that is wrong with it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.app import events_path
from gateway.cli.coverage import gaps, held, unused, worst
from gateway.cli.loading import loaded, told
from gateway.cli.routes import load, routes
from gateway.cli.testing import tested
from gateway.config.schema import AnyUpstream, Config
from gateway.errors import ConfigError, TidegateError
from gateway.ledger import tariffs
from gateway.observe.cost import Prices
from gateway.policy.load import policies
from gateway.policy.policy import Policy
from gateway.serve.crew import READY_S
from gateway.serve.folder import runtime
from gateway.serve.needs import hosts
from gateway.serve.reading import tools
from gateway.worker.supervisor import Host, Supervisor

_WIDTH = 110  # a terminal that is narrower wraps, a file or a pipe need not


def checked(file: Path, *, engines: bool, tests: bool) -> int:
    """Print the summary of `file`, or its problems to standard error; the exit code."""
    config = loaded(file)
    out = Console(highlight=False)
    out.width = max(out.width, _WIDTH)
    found = policies(config.policies, config.folder, tools(config.folder))
    _summary(out, config, found)
    codes = []
    if engines:
        with runtime() as folder:
            codes.append(asyncio.run(_started(out, hosts(config, folder))))
    if tests:
        codes.append(_tested(out, config, found))
    return max(codes, default=0)


def _tested(out: Console, config: Config, found: dict[str, Policy]) -> int:
    try:
        return tested(out, config, found)
    except ConfigError as refused:
        raise told(refused.problems) from None
    except TidegateError as error:
        out.print(Text(error.message), style="red")
        return 1


def _summary(out: Console, config: Config, found: dict[str, Policy]) -> None:
    server, keys = config.gateway.server, len(config.gateway.keys)
    out.print(f"{config.file} is in order.\n")
    out.print(f"listens on  {server.host}:{server.port}, {f'{keys} keys' if keys else 'open to this machine'}")
    out.print(f"events      {events_path(config)}, capture {config.gateway.events.capture}\n")
    out.print(_upstreams(config), "", routes(config, partial(_prices, config)), "")
    for policy in found.values():
        _policy(out, policy)
    for name in unused(config):
        out.print(Text(f"policy {name} is used by no route and no key\n", "yellow"))


def _upstreams(config: Config) -> Table:
    table = _table("upstream", "kind", "model", "where", "")
    for spec in config.gateway.upstreams:
        table.add_row(*map(Text, (spec.name, spec.kind, spec.model or "as asked for", _where(spec), load(spec))))
    return table


def _prices(config: Config) -> Prices:
    return replace(Prices.load(), tariffs=tariffs(config), _found={})


def _where(spec: AnyUpstream) -> str:
    return "in a process of ours" if spec.kind == "embedded" else spec.base_url or "as litellm knows it"


def _policy(out: Console, policy: Policy) -> None:
    spec = policy.spec
    out.print(Text(f"policy {spec.name}: {spec.mode}, {spec.deadline_ms} ms, on error {spec.on_error}", "bold"))
    table = _table("", "", "")
    table.show_header = False
    for stage, bounds in (("input", policy.input), ("output", policy.output)):
        for bound, rail in zip(bounds, spec.input if stage == "input" else spec.output, strict=True):
            said = f"{rail.action}{f'; holds back {held(bound)}' if stage == 'output' else ''}"
            table.add_row(*map(Text, (f"  {stage}", f"{rail.kind} {bound.rail.name}", said)))
        if not bounds:
            table.add_row(f"  {stage}", "not judged", "")
    out.print(table, _notes(policy), "")


def _notes(policy: Policy) -> Table:
    table = _table("", "")
    table.show_header = False
    table.add_row("  held at most", Text(worst(policy)))
    for gap in gaps(policy):
        table.add_row("  not covered", Text(gap))
    return table


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
