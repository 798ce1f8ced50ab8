"""Active health checks: a GET now and then, and how many of them decide."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from random import Random

from gateway.config.schema import OpenAISpec
from gateway.config.traffic import HealthSpec
from gateway.routing.fleet import Fleet
from gateway.routing.standing import Standing
from gateway.routing.target import Target
from gateway.upstream.direct import Direct

Check = Callable[[], Awaitable[bool]]


class Health:
    """`bad` checks in a row make an upstream ill, `good` ones well again. It is well to begin with."""

    __slots__ = ("_row", "_spec", "ill")

    def __init__(self, spec: HealthSpec) -> None:
        self._spec = spec
        self._row = 0  # checks in a row that speak against how it is taken
        self.ill = False

    def note(self, *, well: bool) -> bool:
        """Whether it is ill, after one more check."""
        self._row = self._row + 1 if well == self.ill else 0
        if self._row >= (self._spec.good if self.ill else self._spec.bad):
            self.ill, self._row = not self.ill, 0
        return self.ill


@asynccontextmanager
async def watched(targets: Iterable[Target], fleet: Fleet) -> AsyncIterator[None]:
    """Check those upstreams that are configured to be, for as long as the context lasts."""
    tasks = [
        asyncio.create_task(_watch(spec, _check(upstream, spec), fleet.standing(target.spec), fleet), name="health")
        for target in targets
        if isinstance(target.spec, OpenAISpec) and (spec := target.spec.health)
        if isinstance(upstream := target.upstream, Direct)
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _check(upstream: Direct, spec: HealthSpec) -> Check:
    return lambda: upstream.well(spec.path, spec.timeout_s)


async def _watch(spec: HealthSpec, check: Check, standing: Standing, fleet: Fleet) -> None:
    """The first check comes at once; the others at times that differ between processes."""
    health = Health(spec)
    health.ill = standing.ill
    while True:
        ill = health.note(well=await check())
        standing.checked(fleet.clock(), ill=ill)
        await asyncio.sleep(_apart(spec.every_s, fleet.rng))


def _apart(seconds: float, rng: Random) -> float:
    return seconds * rng.uniform(0.9, 1.1)
