"""The composition root: the one place where the rooms meet. Opens every resource and closes it again."""

from __future__ import annotations

import asyncio
import importlib
import time
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from starlette.routing import Route
from starlette.types import ASGIApp

from gateway.cache.entry import Answers
from gateway.cache.memory import Shelf
from gateway.config.policy import WebhookSpec
from gateway.config.schema import Config, Key
from gateway.data.handover import NAME as DATA
from gateway.data.handover import Handover, Lost
from gateway.errors import WorkerError
from gateway.http import endpoints, panel, translated
from gateway.http.auth import Keyring
from gateway.http.feedback import Feedback
from gateway.ledger import Ledger, blended, tariffs
from gateway.limits.gate import Gate
from gateway.limits.table import Table, created
from gateway.observe.cost import Prices
from gateway.observe.log import Log, open_log
from gateway.observe.metrics import Metrics
from gateway.pipeline import Pipeline
from gateway.pipeline.mirror import Mirrors
from gateway.pipeline.scores import CODEC as SCORE
from gateway.pipeline.scores import Scores
from gateway.policy.load import policies
from gateway.policy.memory import Memory
from gateway.policy.rail import Tools
from gateway.routing import Fleet, Routes, Target
from gateway.routing.health import watched
from gateway.scoring.sampler import Sampler
from gateway.upstream.pool import open_pool
from gateway.upstream.post import Post
from gateway.upstream.table import open_upstreams
from gateway.wire.codec import COMPLETIONS, EMBEDDINGS, MODERATIONS
from gateway.worker.client import Client

FAREWELL_S = 2.0
PANEL = "panel"
"""The worker behind `/ui`. Whether it lives is nothing to traffic."""

Link = Any
"""`gateway.store.Link`: its module imports a client that is an extra, and is only imported where it is wanted."""


@dataclass(frozen=True, slots=True)
class Wiring:
    """Where the child processes answer: workers' sockets by name, embedded models' base URLs by upstream."""

    sockets: Mapping[str, Path] = field(default_factory=dict)
    embedded: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Desk:
    """What a process keeps while configurations come and go.

    `scraped` answers `GET /metrics`; `accounts` are what keys have used; `going` are the ids of exchanges under way.
    """

    log: Log
    metrics: Metrics
    prices: Prices
    scraped: ASGIApp
    accounts: Table
    shelf: Shelf
    fleet: Fleet
    going: set[str] = field(default_factory=set)
    lost: Lost = field(default_factory=Lost)
    leaving: asyncio.Event = field(default_factory=asyncio.Event)  # the process was told to stop
    memory: Memory = field(default_factory=Memory)  # a policy that did not change goes on knowing what it judged


@contextmanager
def desk(config: Config, scraped: ASGIApp | None = None, accounts: int | None = None) -> Iterator[Desk]:
    """The desk of a process that begins with `config`. `accounts` is a descriptor of those that processes share."""
    with open_log(events_path(config)) as log:
        metrics = Metrics(lambda: log.dropped)
        shelf = Shelf(int(config.gateway.store.cache_mb * 1024 * 1024))
        table = Table(created(1) if accounts is None else accounts)
        found = Desk(
            log,
            metrics,
            Prices.load(),
            scraped or endpoints.Metrics(metrics.render),
            table,
            shelf,
            Fleet(log.emit, metrics),
        )
        metrics.gauge("tidegate_memory_bytes", "What rails found in texts before, about.", lambda: found.memory.size)
        metrics.gauge(
            "tidegate_data_dropped_total", "Exchanges that were not handed to the store.", lambda: found.lost.count
        )
        try:
            yield found
        finally:
            table.close()


@asynccontextmanager
async def opened(config: Config, wiring: Wiring, own: Desk | None = None) -> AsyncGenerator[ASGIApp, None]:
    """The gateway as an ASGI app, for as long as the context lasts. Raises `ConfigError`.

    What has nothing to do with one configuration is taken from the process's `own` desk.
    """
    async with AsyncExitStack() as stack:
        found = own or stack.enter_context(desk(config))
        workers = {
            name: await stack.enter_async_context(Client(path, name=name)) for name, path in wiring.sockets.items()
        }
        prices = replace(found.prices, tariffs=tariffs(config), _found={})
        ledger = Ledger(found.log, found.metrics, prices, going=found.going)
        await _with_scores(stack, config, workers, ledger)
        specs = {spec.name: spec for spec in config.gateway.upstreams}
        upstreams = await stack.enter_async_context(open_upstreams(config.gateway.upstreams, workers, wiring.embedded))
        targets = {name: Target(upstream, specs[name]) for name, upstream in upstreams.items()}
        # In a thread: what compiles expressions must not hold up the exchanges of the configuration before.
        tools = Tools(workers, poster=await _poster(stack, config))
        judges = await asyncio.to_thread(policies, config.policies, config.folder, tools)
        routes = Routes(config.gateway.routes, targets, found.fleet, partial(blended, prices))
        found.fleet.keep(targets)
        await stack.enter_async_context(watched(targets.values(), found.fleet))
        await _with_keeper(stack, config, workers, found, ledger)
        capture = config.gateway.events.capture
        if capture == "none" and config.gateway.data:
            capture = config.gateway.data.texts
        link = await _link(stack, config, found.log)
        gate = await _gate(stack, config, found.accounts, link)
        answers = _answers(found.shelf, config, link)
        mirrors = Mirrors(ledger, time.monotonic, found.fleet.rng, found.metrics.skipped)
        stack.push_async_callback(mirrors.close, FAREWELL_S)
        pipeline = Pipeline(routes, judges, ledger, time.monotonic, capture, found.memory, gate, mirrors, answers)
        pipeline.scored = ledger.sampler is not None
        yield app(config, pipeline, found, workers, _scores(config, pipeline, workers, ledger))


def app(config: Config, pipeline: Pipeline, own: Desk, workers: Mapping[str, Client], scores: Scores) -> ASGIApp:
    """The endpoints. No framework object is made for a request: each endpoint is an ASGI app of its own."""
    gateway = config.gateway
    max_body = int(gateway.server.max_body_mb * 1024 * 1024)
    table = pipeline.routes.table
    keys = Keyring(gateway.keys)
    needed = {name: worker for name, worker in workers.items() if name not in {PANEL, DATA}}
    completions = partial(endpoints.Completions, traced=bool(gateway.export))
    routes = [
        Route("/v1/chat/completions", completions(pipeline, keys, max_body)),
        Route("/v1/completions", completions(pipeline, keys, max_body, codec=COMPLETIONS)),
        Route("/v1/embeddings", completions(pipeline, keys, max_body, codec=EMBEDDINGS)),
        Route("/v1/moderations", completions(pipeline, keys, max_body, codec=MODERATIONS)),
        Route("/v1/messages", completions(pipeline, keys, max_body, translated.MESSAGES)),
        Route("/v1/responses", completions(pipeline, keys, max_body, translated.RESPONSES)),
        Route("/v1/score", completions(scores, keys, max_body, codec=SCORE)),
        Route("/v1/models", endpoints.Models([*table], keys, route=lambda name: table[name].model)),
        Route("/healthz", endpoints.Health()),
        Route("/readyz", endpoints.Ready(lambda: silent(needed), own.leaving.is_set)),
        Route("/metrics", own.scraped),
        *_panel(config, workers),
        *_feedback(config, keys, workers, own.log),
    ]
    return endpoints.Paths({route.path: route.app for route in routes})


def _panel(config: Config, workers: Mapping[str, Client]) -> list[Route]:
    """`/ui`, where the configuration has it."""
    own = config.gateway.ui
    if own is None or PANEL not in workers:
        return []
    keys = Keyring([Key(name=PANEL, sha256=own.sha256)])
    return [
        Route("/ui", panel.Page("index.html")),
        *(Route(f"/ui/{name}", panel.Page(name)) for name in panel.FILES),
        Route("/ui/data/look", panel.look(workers[PANEL], keys)),
        Route("/ui/data/map", panel.drift_map(workers[PANEL], keys)),
    ]


def _feedback(config: Config, keys: Keyring, workers: Mapping[str, Client], log: Log) -> list[Route]:
    """`/v1/feedback`, where there is somebody to keep it."""
    data = config.gateway.data
    if data is None or DATA not in workers:
        return []
    return [Route("/v1/feedback", Feedback(workers[DATA], keys, log.emit, frozenset(data.reviewers)))]


def _scores(config: Config, pipeline: Pipeline, workers: Mapping[str, Client], ledger: Ledger) -> Scores:
    scoring = config.gateway.scoring
    deadline_s = scoring.deadline_ms / 1000 if scoring else 0.0
    scorer = workers.get("scorer") if scoring else None
    return Scores(scorer, pipeline.policies, ledger, pipeline.clock, ledger.scored, deadline_s, pipeline.gate)


def events_path(config: Config) -> str:
    """Where events go: `-`, or a file relative to the configuration's."""
    path = config.gateway.events.path
    return path if path == "-" else str((config.file.parent / path).resolve())


async def silent(workers: Mapping[str, Client]) -> Sequence[str]:
    """Names of the workers that do not answer within a second."""
    names = list(workers)
    answers = await asyncio.gather(*(workers[name].ready(1.0) for name in names), return_exceptions=True)
    return [name for name, answer in zip(names, answers, strict=True) if isinstance(answer, WorkerError)]


async def _link(stack: AsyncExitStack, config: Config, log: Log) -> Link | None:
    """The Redis that gateways share, where there is one."""
    if config.gateway.store.kind != "redis":
        return None
    store = importlib.import_module("gateway.store")
    told = store.linked(config.gateway.store, lambda event, fields: log.emit(event, **fields))
    return await stack.enter_async_context(told)


async def _gate(stack: AsyncExitStack, config: Config, accounts: Table, link: Link | None) -> Gate:
    if link is None:
        return Gate(accounts)
    shared = importlib.import_module("gateway.limits.shared")
    return Gate(await stack.enter_async_context(shared.shared(link)), config.gateway.store.on_store_error)


def _answers(shelf: Shelf, config: Config, link: Link | None) -> Answers:
    """Where answers are kept. What memory has stays over a change of the configuration; a policy's digest is in it."""
    if link is None:
        shelf.room = int(config.gateway.store.cache_mb * 1024 * 1024)
        return shelf
    found: Answers = importlib.import_module("gateway.cache.shared").Shared(link)
    return found


async def _poster(stack: AsyncExitStack, config: Config) -> Post | None:
    """The way to operators' services, where a policy has one."""
    rails = (rail for policy in config.policies.values() for rail in (*policy.input, *policy.output))
    if not any(isinstance(rail, WebhookSpec) for rail in rails):
        return None
    return Post(await stack.enter_async_context(open_pool()))


async def _with_scores(stack: AsyncExitStack, config: Config, workers: Mapping[str, Client], ledger: Ledger) -> None:
    scoring = config.gateway.scoring
    if scoring is None or "scorer" not in workers:
        return
    ledger.sampler = Sampler(workers["scorer"], ledger.scored, scoring.deadline_ms / 1000, ledger.unscored)
    ledger.sample = scoring.sample
    task = asyncio.create_task(ledger.sampler.run(), name="sampler")
    stack.push_async_callback(_stopped, task, ledger.sampler)


async def _with_keeper(
    stack: AsyncExitStack, config: Config, workers: Mapping[str, Client], own: Desk, ledger: Ledger
) -> None:
    """Exchanges are handed over until the last of this configuration ended."""
    ledger.texts = config.gateway.events.capture != "none"
    if config.gateway.data is None or DATA not in workers:
        return
    keeper = Handover(workers[DATA], own.lost)
    ledger.keeper = keeper
    task = asyncio.create_task(keeper.run(), name=DATA)
    stack.push_async_callback(_stopped, task, keeper)


async def _stopped(task: asyncio.Task[None], sampler: Sampler | Handover) -> None:
    """What still waits for its scores, or to be kept, gets a moment."""
    with suppress(TimeoutError):
        async with asyncio.timeout(FAREWELL_S):
            await sampler.queue.join()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
