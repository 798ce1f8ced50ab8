"""Which of several upstreams is asked. Each way is a function of those that may be, and knows nothing of faults."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random

from gateway.config.schema import AnyUpstream
from gateway.config.traffic import Balance
from gateway.routing.target import Member

Price = Callable[[AnyUpstream, str], float | None]
"""US dollars for a thousand tokens of a model as an upstream bills them; None where that is not known."""

Choose = Callable[[Sequence[Member], float, Random], Member]
"""From those that may be asked, in the order in which they are configured, at an instant: who is."""


def first(members: Sequence[Member], _now: float, _rng: Random) -> Member:
    return members[0]


def weighted(members: Sequence[Member], _now: float, rng: Random) -> Member:
    """At random, in proportion to weight."""
    left = rng.random() * sum([member.weight for member in members])
    for member in members:
        left -= member.weight
        if left < 0:
            return member
    return members[-1]


def least(members: Sequence[Member], _now: float, rng: Random) -> Member:
    """The one of two with fewer requests under way for its weight.

    Two at random, not the best of all: processes would all run to the same one (Mitzenmacher 2001).
    """
    one, other = _two(members, rng)
    return one if _outstanding(one) <= _outstanding(other) else other


def quickest(members: Sequence[Member], now: float, rng: Random) -> Member:
    """The one of two that will begin its answer sooner, by its peak EWMA and what is ahead of the request."""
    one, other = _two(members, rng)
    return one if _wait(one, now) <= _wait(other, now) else other


CHOICES: Mapping[Balance, Choose] = {
    "fallback": first,
    "price": first,  # of members sorted by price
    "weight": weighted,
    "least": least,
    "latency": quickest,
}


def by_price(members: Sequence[Member], model: str, price: Price) -> tuple[Member, ...]:
    """Cheapest first; those whose price nobody knows last. Equals stay in order."""

    def cost(member: Member) -> float:
        found = price(member.target.spec, member.target.spec.model or model)
        return float("inf") if found is None else found

    return tuple(sorted(members, key=cost))


def _two(members: Sequence[Member], rng: Random) -> tuple[Member, Member]:
    if len(members) == 1:
        return members[0], members[0]
    at = int(rng.random() * len(members))
    off = 1 + int(rng.random() * (len(members) - 1))
    return members[at], members[(at + off) % len(members)]


def _outstanding(member: Member) -> float:
    return (member.standing.gate.busy + 1) / member.weight


def _wait(member: Member, now: float) -> float:
    return member.standing.ewma.load(now, member.standing.gate.busy) / member.weight
