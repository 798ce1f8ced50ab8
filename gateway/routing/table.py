"""Every name clients may ask for, and the route that answers it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

from gateway.config.schema import AnyUpstream, OpenAISpec, RouteSpec
from gateway.config.traffic import ArmSpec, MemberSpec, MirrorSpec
from gateway.errors import ModelNotFound
from gateway.routing.balance import Price
from gateway.routing.budget import Budget
from gateway.routing.fleet import Fleet
from gateway.routing.group import Group
from gateway.routing.route import Mirror, Route
from gateway.routing.target import Member, Target
from gateway.routing.wildcard import NAME, Wildcard


def unpriced(_spec: AnyUpstream, _model: str) -> float | None:
    return None


class Routes:
    """A name is looked up as it stands; then the wildcard that fixes most of it answers."""

    def __init__(
        self,
        specs: Sequence[RouteSpec],
        targets: Mapping[str, Target],
        fleet: Fleet | None = None,
        price: Price = unpriced,
    ) -> None:
        self._targets, self._price = targets, price
        self.fleet = fleet or Fleet()
        self.table: dict[str, Route] = {}
        self._wild: list[tuple[Wildcard, Route]] = []
        for spec in specs:
            self._add(spec, self._route(spec))
        self._wild.sort(key=lambda wild: -wild[0].weight)

    @property
    def names(self) -> list[str]:
        """All that have no star in them."""
        return list(self.table)

    def pick(self, model: str) -> Route:
        """The route of `model`. Raises `ModelNotFound`."""
        return self.table.get(model) or self._matched(model)

    def _matched(self, model: str) -> Route:
        if NAME.fullmatch(model):
            for wildcard, route in self._wild:
                if wildcard.matches(model):
                    return route
        near = difflib.get_close_matches(model[:128], self.table, 1)
        hint = f" Did you mean '{near[0]}'?" if near else " GET /v1/models lists them."
        raise ModelNotFound(f"There is no such model here.{hint}", param="model")

    def _add(self, spec: RouteSpec, route: Route) -> None:
        for name in (spec.model, *spec.aliases):
            if Wildcard.stars(name):
                self._wild.append((Wildcard.of(name), route))
            else:
                self.table[name] = route

    def _route(self, spec: RouteSpec) -> Route:
        groups = tuple(self._group(spec, arm) for arm in spec.arms)
        targets = tuple(member.target for group in groups for member in group.members)
        return Route(spec.model, targets, spec.policy, groups, spec, self._mirror(spec.model, spec.mirror))

    def _mirror(self, model: str, spec: MirrorSpec | None) -> Mirror | None:
        if spec is None:
            return None
        arm = ArmSpec(name="mirror", upstreams=(MemberSpec(name=spec.name, model=spec.model),))
        alone = RouteSpec(model=model, upstreams=arm.upstreams)  # nobody is asked again for the sake of a shadow
        return Mirror(self._group(alone, arm), spec.share, spec.most)

    def _group(self, spec: RouteSpec, arm: ArmSpec) -> Group:
        members = tuple(map(self._member, arm.upstreams))
        budget = Budget(spec.retries.budget, spec.retries.floor_per_s)
        return Group(spec, arm.name, arm.weight, members, self.fleet, budget, self._price)

    def _member(self, said: MemberSpec) -> Member:
        target = self._targets[said.name]
        standing = self.fleet.standing(target.spec)
        if said.model and isinstance(target.spec, OpenAISpec):
            target = Target(target.upstream, target.spec.model_copy(update={"model": said.model}))
        return Member(target, standing, said.weight)
