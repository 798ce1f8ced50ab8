"""Policies opened without a gateway: the workers they need started, and stopped again."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection
from contextlib import AsyncExitStack, asynccontextmanager

from gateway.config.policy import PolicySpec, ScoreSpec
from gateway.config.schema import Config
from gateway.policy.load import policies
from gateway.policy.policy import Policy
from gateway.policy.rail import Tools
from gateway.serve.crew import READY_S
from gateway.serve.folder import runtime
from gateway.serve.needs import hosts
from gateway.upstream.pool import open_pool
from gateway.upstream.post import Post
from gateway.worker.client import Client
from gateway.worker.supervisor import Supervisor

DEADLINE_MS = 60_000
"""For every rail: nobody waits, and a busy machine must not turn a verdict into a fault."""


@asynccontextmanager
async def judging(config: Config, names: Collection[str]) -> AsyncGenerator[dict[str, Policy], None]:
    """The policies of `config` with these names, by name, for as long as the context lasts.

    Raises `WorkerFault` where a worker that they need cannot start.
    """
    specs = {name: _patient(spec) for name, spec in config.policies.items() if name in names}
    reduced = config.model_copy(update={"policies": specs})
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(runtime())
        wanted = [host for host in hosts(reduced, folder) if _needed(host.name, specs.values())]
        supervisor = await stack.enter_async_context(Supervisor(wanted, lambda *_: None))
        await supervisor.ready(READY_S)
        clients = {host.name: await stack.enter_async_context(Client(host.socket, name=host.name)) for host in wanted}
        poster = Post(await stack.enter_async_context(open_pool()))
        yield policies(specs, config.folder, Tools(clients, poster=poster))


def _patient(spec: PolicySpec) -> PolicySpec:
    stages = {
        stage: tuple(rail.model_copy(update={"deadline_ms": DEADLINE_MS}) for rail in getattr(spec, stage))
        for stage in ("input", "output")
    }
    return spec.model_copy(update=stages)


def _needed(host: str, specs: Collection[PolicySpec]) -> bool:
    """Whether a rail asks it. Those of rails are there only because a rail does; the scorer may be for samples."""
    rails = [rail for spec in specs for rail in (*spec.input, *spec.output)]
    return host != "litellm" and (host != "scorer" or any(isinstance(rail, ScoreSpec) for rail in rails))
