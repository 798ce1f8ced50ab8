"""A route: a model's name, who answers it, in which arm of a split, and under which policy."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.config.schema import RouteSpec
from gateway.routing.group import Group
from gateway.routing.sticky import place
from gateway.routing.target import Target
from gateway.routing.wildcard import Wildcard


@dataclass(frozen=True, slots=True)
class Mirror:
    """Who else is asked, for `share` of the requests, `most` at a time: the one member of `group`."""

    group: Group
    share: float
    most: int


@dataclass(frozen=True, slots=True)
class Route:
    """`targets` are all that may answer. `groups` are the arms; a route without a split has one."""

    model: str
    targets: tuple[Target, ...]
    policy: str
    groups: tuple[Group, ...] = ()
    spec: RouteSpec | None = None
    mirror: Mirror | None = None

    def group(self, principal: str) -> Group:
        """The arm that a request of `principal` falls in."""
        if len(self.groups) == 1:
            return self.groups[0]
        return self._divided(principal)

    def _divided(self, principal: str) -> Group:
        groups = self.groups
        by_key = self.spec is not None and self.spec.split is not None and self.spec.split.by == "key"
        at = place("split", self.model, principal) if by_key else groups[0].rng.random()
        left = at * sum([group.weight for group in groups])
        for group in groups:
            left -= group.weight
            if left < 0:
                return group
        return groups[-1]

    def name(self, asked: str) -> str:
        """The model's name for an upstream that has none of its own: an alias stands for the route's."""
        return asked if asked == self.model or Wildcard.stars(self.model) else self.model
