"""What routes say of upstreams and of each other: names that must exist and stand once, settings that go together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.config.document import Document, Place, dotted, mappings
from gateway.config.wording import listed, near

WEIGHED = ("weight", "least", "latency")
"""Balances that look at weights."""


def check_routes(gateway: Document) -> None:
    """Every name of a model leads to one route; what a route names is there; a route has upstreams in one way."""
    value = gateway.value
    kinds = {u["name"]: u.get("kind") for _, u in mappings(value.get("upstreams")) if isinstance(u.get("name"), str)}
    _check_names(gateway)
    for n, route in mappings(value.get("routes")):
        place = ("routes", n)
        for spot, members in _lists(gateway, place, route):
            _check_members(gateway, spot, members, kinds)
            _check_weights(gateway, spot, members, route)
        _check_arms(gateway, place, route.get("split"))
        _check_sticky(gateway, place, route)
        if isinstance(mirror := route.get("mirror"), dict):
            _check_member(gateway, (*place, "mirror"), (*place, "mirror", "name"), mirror, kinds)
    for n, upstream in mappings(value.get("upstreams")):
        _check_upstream(gateway, ("upstreams", n), upstream)


def _check_names(gateway: Document) -> None:
    """No two routes answer to the same name; one that is misspelt is for the schema to say."""
    first: dict[str, Place] = {}
    routes = gateway.value.get("routes")
    for n, route in mappings(routes):
        if isinstance(name := route.get("model"), str):
            _once(gateway, first, name, ("routes", n, "model"))
    for n, route in mappings(routes):
        aliases = route.get("aliases")
        for k, alias in enumerate(aliases if isinstance(aliases, tuple) else ()):
            if isinstance(alias, str):
                _once(gateway, first, alias, ("routes", n, "aliases", k))


def _once(gateway: Document, first: dict[str, Place], name: str, place: Place) -> None:
    if (other := first.setdefault(name, place)) != place:
        gateway.refuse(place, f"the same stands on line {gateway.line(other)}")


def _lists(gateway: Document, place: Place, route: Mapping[str, Any]) -> Iterator[tuple[Place, tuple[Any, ...]]]:
    """The lists of upstreams of a route, with their places."""
    split, own = route.get("split"), route.get("upstreams")
    if split is None and own is None:
        gateway.refuse((*place, "upstreams"), "is missing")
    if split is not None and own is not None:
        gateway.refuse((*place, "upstreams"), "the arms of the `split` have the upstreams; leave these out")
    if isinstance(own, tuple):
        yield (*place, "upstreams"), own
    for k, arm in mappings(split.get("arms") if isinstance(split, dict) else None):
        if isinstance(members := arm.get("upstreams"), tuple):
            yield (*place, "split", "arms", k, "upstreams"), members


def _check_members(gateway: Document, place: Place, members: tuple[Any, ...], kinds: Mapping[str, Any]) -> None:
    seen: set[tuple[Any, Any]] = set()
    for k, said in enumerate(members):
        member = said if isinstance(said, dict) else {"name": said}
        spot = (*place, k, "name") if isinstance(said, dict) else (*place, k)
        _check_member(gateway, (*place, k), spot, member, kinds)
        mark = member.get("name"), str(member.get("model"))
        if isinstance(mark[0], str) and mark in seen:
            gateway.refuse(spot, "stands twice in this list")
        seen |= {mark} if isinstance(mark[0], str) else set()


def _check_member(
    gateway: Document, place: Place, spot: Place, member: Mapping[str, Any], kinds: Mapping[str, Any]
) -> None:
    name = member.get("name")
    if isinstance(name, str) and name not in kinds:
        quoted = "…" if spot in gateway.hidden else name
        gateway.refuse(spot, f"no upstream named {quoted!r}{near(quoted, kinds) or f' (there are: {listed(kinds)})'}")
    elif isinstance(name, str) and member.get("model") is not None and kinds[name] != "openai":
        gateway.refuse((*place, "model"), f"upstream {name!r} has one model, which stands where the upstream does")


def _check_weights(gateway: Document, place: Place, members: tuple[Any, ...], route: Mapping[str, Any]) -> None:
    if route.get("balance", "fallback") in WEIGHED or route.get("sticky") is not None:
        return
    for k, member in enumerate(members):
        if isinstance(member, dict) and "weight" in member:
            gateway.refuse((*place, k, "weight"), f"counts only with `balance` as one of: {listed(WEIGHED)}")


def _check_arms(gateway: Document, place: Place, split: Any) -> None:
    first: dict[str, Place] = {}
    for k, arm in mappings(split.get("arms") if isinstance(split, dict) else None):
        if isinstance(name := arm.get("name"), str):
            _once(gateway, first, name, (*place, "split", "arms", k, "name"))
    if isinstance(split, dict) and isinstance(arms := split.get("arms"), tuple) and len(arms) == 1:
        gateway.refuse((*place, "split", "arms"), "one arm is no split: give it another one")
    if isinstance(split, dict) and split.get("by") == "key" and not gateway.value.get("keys"):
        gateway.refuse((*place, "split", "by"), "there are no keys to tell clients apart; use `request`")


def _check_sticky(gateway: Document, place: Place, route: Mapping[str, Any]) -> None:
    sticky = route.get("sticky")
    if not isinstance(sticky, dict):
        return
    if sticky.get("by") == "key" and not gateway.value.get("keys"):
        gateway.refuse((*place, "sticky", "by"), "there are no keys to tell clients apart; use `prompt`")
    if route.get("balance", "fallback") in ("fallback", "price"):
        where = (*place, "balance") if "balance" in route else (*place, "sticky")
        gateway.refuse(
            where, f"upstreams that stand in order cannot be sticky; give it `balance`, one of: {listed(WEIGHED)}"
        )


def _check_upstream(gateway: Document, place: Place, upstream: Mapping[str, Any]) -> None:
    keys = upstream.get("api_keys")
    if not isinstance(keys, tuple):
        return
    if keys and upstream.get("api_key") is not None:
        gateway.refuse((*place, "api_key"), f"stands among {dotted((*place, 'api_keys'))}; leave out one of both")
    for k, key in enumerate(keys):
        if key == "" or (isinstance(key, str) and key in keys[:k]):
            gateway.refuse(
                (*place, "api_keys", k), "is empty" if key == "" else "the same key stands in this list twice"
            )
