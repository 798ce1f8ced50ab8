"""Upstreams that stand for one another, and how they are asked: one arm of a route."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from gateway.config.schema import RouteSpec
from gateway.config.traffic import Fault
from gateway.errors import NotSupported
from gateway.routing.balance import CHOICES, Choose, Price, by_price
from gateway.routing.budget import Budget
from gateway.routing.fleet import Fleet
from gateway.routing.target import Member


@dataclass(frozen=True, slots=True)
class Group:
    """One arm's `members`, in the order in which they are configured. `name` is the arm's, empty without a split."""

    route: RouteSpec
    name: str
    weight: float
    members: tuple[Member, ...]
    fleet: Fleet
    budget: Budget
    price: Price
    choose: Choose = field(init=False)
    ordered: bool = field(init=False)
    goes_on: frozenset[Fault] = field(init=False)
    again: frozenset[Fault] = field(init=False)
    pays: bool = field(init=False)  # whether any try after the first comes out of the budget
    clock: Callable[[], float] = field(init=False)
    rng: Random = field(init=False)
    _able: dict[str, tuple[Member, ...]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        said = object.__setattr__  # it is frozen for everybody else
        said(self, "choose", CHOICES[self.route.balance])
        said(self, "ordered", self.route.balance in ("fallback", "price"))
        said(self, "goes_on", frozenset(self.route.fallback_on))
        said(self, "again", frozenset(self.route.retries.after))
        said(self, "pays", self.route.retries.most > 0 or (len(self.members) > 1 and not self.ordered))
        said(self, "clock", self.fleet.clock)
        said(self, "rng", self.fleet.rng)

    def able(self, endpoint: str) -> tuple[Member, ...]:
        """The members that answer `endpoint`. Raises `NotSupported` where none does."""
        found = self._able.get(endpoint)
        if found is None:
            found = tuple([member for member in self.members if member.target.answers(endpoint)])
            if not found:
                raise NotSupported(f"No upstream of this model answers /v1{endpoint}.", param="model")
            self._able[endpoint] = found
        return found

    def sorted(self, members: tuple[Member, ...], model: str) -> tuple[Member, ...]:
        """As they are asked for `model`."""
        return by_price(members, model, self.price) if self.route.balance == "price" else members
