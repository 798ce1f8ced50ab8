"""What becomes of an exchange: its events, its metrics, its price, and its place in the scorer's queue."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from gateway import record
from gateway.config.schema import AnyUpstream, Config
from gateway.errors import AuditUnavailable
from gateway.exchange import Exchange
from gateway.observe.cost import Prices, Tariff, Usage
from gateway.observe.log import Log
from gateway.observe.metrics import Metrics
from gateway.pipeline.run import Answer
from gateway.routing import Target
from gateway.scoring.sampler import Sample, Sampler


class Keeper(Protocol):
    """Who keeps the texts of some exchanges. Does not wait."""

    def offer(self, exchange: Exchange, fields: Mapping[str, Any]) -> None: ...


@dataclass(slots=True)
class Ledger:
    """`pipeline.run.Ledger`, for real. `sample` is the share of answers that are scored."""

    log: Log
    metrics: Metrics
    prices: Prices
    sampler: Sampler | None = None
    sample: float = 0.0
    going: set[str] = field(default_factory=set)
    keeper: Keeper | None = None
    texts: bool = True  # whether the log may have the texts that an exchange left

    def started(self, exchange: Exchange) -> None:
        """Write the intent. Raises `AuditUnavailable` where that cannot be: what leaves no record does not happen."""
        self.going.add(exchange.id)
        self.metrics.in_flight = len(self.going)
        if not self.log.emit("exchange.started", **record.started(exchange)):
            raise AuditUnavailable("The exchange could not be recorded, so it was not begun. Try again.", retry_after=1)

    def answered(self, exchange: Exchange, target: Target, answer: Answer) -> None:
        """Price the exchange; where it came to its end, have its answer scored."""
        spec = target.spec
        model = spec.model if spec.kind == "litellm" else exchange.answered or exchange.model
        exchange.cost = self.prices.cost(
            exchange.usage, model=model, upstream=spec.name, busy_s=exchange.timing.upstream
        )
        if self.sampler and exchange.outcome == "completed" and answer.text and self._chosen():
            self.sampler.offer(
                Sample(
                    exchange.id,
                    exchange.route,
                    exchange.upstream,
                    answer.question,
                    answer.context,
                    answer.text,
                    answer.samples,
                    answer.tokens,
                    answer.policy,
                )
            )

    def quote(self, model: str, target: Target, usage: Usage) -> float:
        """US dollars that `usage` of `model` would cost there, without the time of a GPU, which nobody knows before."""
        return self.prices.quote(usage, model=target.spec.model or model, upstream=target.spec.name)

    def _chosen(self) -> bool:
        return random.random() < self.sample  # noqa: S311 - a sample, not a secret

    def completed(self, exchange: Exchange) -> None:
        self.going.discard(exchange.id)
        self.metrics.in_flight = len(self.going)
        fields = record.completed(exchange)
        if self.keeper:
            self.keeper.offer(exchange, fields)
        if not self.texts:
            fields.pop("captured", None)
        self.log.emit("exchange.completed", **fields)
        self.metrics.observe(fields)

    def mirroring(self, exchange: Exchange, of: str) -> bool:
        """`pipeline.mirror.Shadows`: the intent."""
        return self.log.emit("mirror.started", **record.mirroring(exchange, of))

    def mirrored(self, exchange: Exchange, of: str) -> None:
        fields = record.mirrored(exchange, of)
        self.log.emit("mirror.completed", **fields)
        self.metrics.mirrored(fields)

    def scored(self, sample: Sample, scores: Mapping[str, Any], seconds: float) -> None:
        """`sampler.Recorded`: what the scorer said of one answer."""
        self.metrics.scores.add(("scored",))
        fields = {"id": sample.id, "route": sample.route, "upstream": sample.upstream}
        said = record.scored(scores)
        self.metrics.scored(sample.route, said["scores"])
        self.log.emit("score.recorded", **fields, **said, ms=round(seconds * 1000, 3))

    def unscored(self, why: str, count: int) -> None:
        """Answers that will have no scores: `shed` or `failed`."""
        self.metrics.scores.add((why,), count)


def tariffs(config: Config) -> dict[str, Tariff]:
    """What the operator says each upstream costs."""
    return {spec.name: _tariff(spec) for spec in config.gateway.upstreams}


def blended(prices: Prices, spec: AnyUpstream, model: str) -> float | None:
    """US dollars for a thousand tokens, three in four of them input; None where no price is known."""
    cost = prices.cost(Usage(input=750, output=250), model=spec.model or model, upstream=spec.name)
    return None if cost.source == "none" else cost.total


def _tariff(spec: AnyUpstream) -> Tariff:
    price = spec.price
    return Tariff(
        price.input,
        price.cached,
        price.output,
        spec.gpu_usd_per_hour,
        own=spec.kind == "embedded",
        written=price.cache_write,
        audio_input=price.audio_input,
        audio_output=price.audio_output,
        extra=price.extra,
    )
