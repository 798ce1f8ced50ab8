"""All upstreams of one HTTP process, as they stand. They outlive a configuration that changes nothing of theirs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from random import Random
from typing import Any, Protocol

from gateway.config.schema import AnyUpstream
from gateway.config.traffic import Fault
from gateway.observe.metrics import Metrics, Row
from gateway.routing.breaker import State
from gateway.routing.standing import OUT, Standing


class Emit(Protocol):
    """`Log.emit`."""

    def __call__(self, event: str, /, **fields: Any) -> bool: ...


def silent(_event: str, /, **_fields: Any) -> bool:
    return True


class Fleet:
    """`emit` is the log's, `clock` monotonic."""

    def __init__(
        self,
        emit: Emit = silent,
        metrics: Metrics | None = None,
        clock: Callable[[], float] = time.monotonic,
        rng: Random | None = None,
    ) -> None:
        self._emit = emit
        self.clock = clock
        self.rng = rng or Random()  # noqa: S311 - it spreads load, it keeps no secret
        told = metrics or Metrics()
        self.faults, self.ejections, self.retries = told.upstream_faults, told.ejections, told.retries
        told.upstreams = self.rows
        self._standings: dict[str, Standing] = {}

    def standing(self, spec: AnyUpstream) -> Standing:
        """The same one as long as its settings are the same."""
        known = self._standings.get(spec.name)
        if known is None or known.spec != spec:
            known = self._standings[spec.name] = Standing(spec, self.rng, self)
        return known

    def keep(self, names: Iterable[str]) -> None:
        """Forget the upstreams that have none of these names."""
        wanted = set(names)
        self._standings = {name: standing for name, standing in self._standings.items() if name in wanted}

    def rows(self) -> Iterator[Row]:
        now = self.clock()
        for name, standing in self._standings.items():
            asked = standing.breaker.state is State.SHUT and not standing.ill and standing.rank(now) < OUT
            gate = standing.gate
            yield name, float(asked), gate.busy, gate.waiting, standing.ewma.seconds(now)

    # What standings tell

    def fault(self, upstream: str, fault: Fault) -> None:
        self.faults.add((upstream, fault))

    def ejected(self, standing: Standing, reason: str, now: float) -> None:
        self.ejections.add((standing.name, reason))
        rest = max(0.0, standing.breaker.until - now) if reason != "health" else None
        self._emit(
            "upstream.ejected",
            upstream=standing.name,
            reason=reason,
            times=max(1, standing.breaker.rests),
            rest_s=rest if rest is None else round(rest, 3),
        )

    def returned(self, standing: Standing, how: str, now: float) -> None:
        since = standing.ill_since if how == "health" else standing.breaker.opened
        self._emit("upstream.returned", upstream=standing.name, how=how, away_s=round(max(0.0, now - since), 3))
