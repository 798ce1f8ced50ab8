"""How a route spreads its requests, and what an upstream is spared: parts of `routes` and `upstreams`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from gateway.config.policy import Frozen

Seconds = Annotated[float, Field(gt=0, le=86_400)]
Share = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(gt=0, le=1_000_000)]
Count = Annotated[int, Field(ge=1, le=100_000)]
Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/:-]{0,127}$")]
Pattern = Annotated[str, Field(pattern=r"^[A-Za-z0-9*][A-Za-z0-9._/:@*-]{0,127}$")]

Balance = Literal["fallback", "weight", "least", "latency", "price"]

Fault = Literal[
    "unreachable",
    "timeout",
    "broken",
    "unavailable",
    "rate_limit",
    "overloaded",
    "server_error",
    "credentials",
    "missing",
]
"""What can become of a try. `gateway.routing.faults` says which answer is which."""

GOES_ON: tuple[Fault, ...] = (
    "unreachable", "timeout", "broken", "unavailable", "rate_limit", "overloaded", "server_error", "credentials"
)  # fmt: skip
AGAIN: tuple[Fault, ...] = ("unreachable", "rate_limit", "overloaded", "server_error")


class Load(Frozen):
    """How many requests one HTTP process has under way with an upstream, how many may wait, and for how long."""

    concurrency: Count | None = None
    queue: Annotated[int, Field(ge=0, le=100_000)] = 100
    queue_s: Seconds = 10.0


class BreakerSpec(Frozen):
    """When an upstream is left alone: after `failures` in a row, or where `share` of at least `volume` answers within
    `window_s` failed. It rests for `rest_s`, twice as long after each probe that fails, `most_rest_s` at most.
    """

    failures: Count = 5
    share: Annotated[float, Field(gt=0, le=1)] = 0.5
    volume: Count = 20
    window_s: Seconds = 30.0
    rest_s: Seconds = 5.0
    most_rest_s: Seconds = 60.0


class HealthSpec(Frozen):
    """A GET of `path` below the upstream's base URL every so often; any 2xx is good."""

    path: Annotated[str, Field(pattern=r"^/[\x21-\x7e]{0,255}$")] = "/models"
    every_s: Seconds = 10.0
    timeout_s: Seconds = 2.0
    bad: Count = 3
    good: Count = 2


class MemberSpec(Frozen):
    """An upstream in a route: its `weight` among the others, and its own name for the model where that differs here."""

    name: str
    weight: Weight = 1.0
    model: str | None = None


def _mapping(said: Any) -> Any:
    """`local` is short for `{name: local}`."""
    return {"name": said} if isinstance(said, str) else said


Member = Annotated[MemberSpec, BeforeValidator(_mapping)]
Members = Annotated[tuple[Member, ...], Field(min_length=1)]


class Sticky(Frozen):
    """Which requests go to the same upstream: those of one `key`, or those whose text begins alike (`prompt`).

    `characters` of it count. No upstream gets more than `spread` times its share of what is under way.
    """

    by: Literal["key", "prompt"]
    characters: Annotated[int, Field(ge=16, le=65_536)] = 1024
    spread: Annotated[float, Field(ge=1, le=100)] = 1.25


class Retries(Frozen):
    """Asking again. `most` times the same upstream, and all in all no more than `budget` of the requests, to which
    `floor_per_s` is added. Pauses grow from `first_s` to `most_s`, are drawn at random, and obey `Retry-After`.
    """

    most: Annotated[int, Field(ge=0, le=10)] = 0
    after: tuple[Fault, ...] = AGAIN
    budget: Share = 0.2
    floor_per_s: Annotated[float, Field(ge=0, le=1000)] = 1.0
    first_s: Seconds = 0.1
    most_s: Seconds = 5.0


class ArmSpec(Frozen):
    """One side of a split."""

    name: Word
    weight: Weight = 1.0
    upstreams: Members


class Split(Frozen):
    """Requests, or keys once and for all, divided between arms by weight. The record says which arm it was."""

    by: Literal["request", "key"] = "request"
    arms: Annotated[tuple[ArmSpec, ...], Field(min_length=1)]


class MirrorSpec(Frozen):
    """An upstream that is asked the same, `share` of the time, by `most` requests at once in one HTTP process.

    What it answers goes to nobody; it is recorded, priced and scored.
    """

    name: str
    model: str | None = None
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    most: Count = 4


class Traffic(Frozen):
    """What a route does with its requests. It has `upstreams`, or a `split` whose arms have them."""

    aliases: tuple[Pattern, ...] = ()
    upstreams: Members | None = None
    split: Split | None = None
    balance: Balance = "fallback"
    sticky: Sticky | None = None
    fallback_on: tuple[Fault, ...] = GOES_ON
    retries: Retries = Retries()
    deadline_s: Seconds | None = None
    mirror: MirrorSpec | None = None

    @property
    def members(self) -> tuple[MemberSpec, ...]:
        """Every upstream that may answer, in the order in which they are written."""
        return self.upstreams or tuple(member for arm in self.arms for member in arm.upstreams)

    @property
    def arms(self) -> tuple[ArmSpec, ...]:
        """The arms of the split; a route without one has one arm that has no name."""
        if self.split:
            return self.split.arms
        return (ArmSpec.model_construct(name="", weight=1.0, upstreams=self.upstreams or ()),)
