"""Routes over upstreams that say what they are told, with a clock that goes only when a test says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from gateway.config.schema import OpenAISpec, RouteSpec
from gateway.routing import Asked, Errand, Fleet, Route, Routes, Target
from gateway.routing.balance import Price
from gateway.routing.table import unpriced
from gateway.upstream import Ask, Upstream

ASK = Ask("/chat/completions", b"{}", stream=False)


@dataclass(slots=True)
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass(slots=True)
class Line:
    """What a fleet says, and when it is."""

    clock: Clock = field(default_factory=Clock)
    said: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    rng: Random = field(default_factory=lambda: Random(7))

    def emit(self, event: str, /, **fields: Any) -> bool:
        self.said.append((event, fields))
        return True

    def fleet(self) -> Fleet:
        return Fleet(self.emit, clock=self.clock, rng=self.rng)

    @property
    def names(self) -> list[str]:
        return [event for event, _ in self.said]


@dataclass(slots=True)
class Scene:
    """One route `m` over named upstreams."""

    routes: Routes
    line: Line
    tried: list[str] = field(default_factory=list)

    @property
    def route(self) -> Route:
        return self.routes.pick("m")

    def asked(self, *, opening: str = "", **more: Any) -> Asked:
        errand = Errand(ASK.endpoint, lambda _: ASK, self.tried, "m", **more)
        errand.opening = lambda characters: opening[:characters]
        return Asked(self.route.group(errand.principal), errand)

    async def status(self, **more: Any) -> int:
        """Ask, and read the answer to its end."""
        async with self.asked(**more) as answered:
            async for _ in answered.reply.chunks:
                pass
            return answered.reply.status


def scene(
    upstreams: Sequence[Upstream],
    settings: dict[str, Any] | None = None,
    route: dict[str, Any] | None = None,
    price: Price = unpriced,
) -> Scene:
    """`settings` are those of every upstream, `route` those of the route."""
    line = Line()
    specs = [
        OpenAISpec.model_validate(
            {"name": u.name, "kind": "openai", "base_url": "http://127.0.0.1/v1", **(settings or {})}
        )
        for u in upstreams
    ]
    targets = {spec.name: Target(upstream, spec) for spec, upstream in zip(specs, upstreams, strict=True)}
    members = {} if route and "split" in route else {"upstreams": tuple(targets)}
    spec = RouteSpec.model_validate({"model": "m", **members, **(route or {})})
    return Scene(Routes([spec], targets, line.fleet(), price), line)
