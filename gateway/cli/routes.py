"""What routes and their upstreams amount to, in words, for `tidegate check`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from rich.table import Table
from rich.text import Text

from gateway.config.schema import AnyUpstream, Config, LiteLLMSpec, OpenAISpec, RouteSpec
from gateway.config.traffic import AGAIN, GOES_ON, ArmSpec, MemberSpec
from gateway.ledger import blended
from gateway.observe.cost import Prices


def routes(config: Config, prices: Callable[[], Prices]) -> Table:
    """A row for each route, its details below. `prices` are read where a route is sorted by them."""
    specs = {spec.name: spec for spec in config.gateway.upstreams}
    table = Table(
        "route", "who is asked", "policy", box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold"
    )
    for route in config.gateway.routes:
        first, *others = _asked(route, specs, prices)
        table.add_row(*map(Text, (route.model, first, route.policy)))
        for line in (*others, *_notes(route, specs)):
            table.add_row("", Text(line, "dim"), "")
    return table


def load(spec: AnyUpstream) -> str:
    """What an upstream is spared."""
    said = []
    if spec.load.concurrency is not None:
        said.append(f"{spec.load.concurrency} at once, {spec.load.queue} wait up to {spec.load.queue_s:g} s")
    if isinstance(spec, OpenAISpec | LiteLLMSpec) and spec.api_keys:
        said.append(f"{len(spec.api_keys)} keys in turn")
    if isinstance(spec, OpenAISpec) and spec.health:
        said.append(f"checked every {spec.health.every_s:g} s")
    return "; ".join(said)


def longest(route: RouteSpec, specs: Mapping[str, AnyUpstream]) -> float:
    """Seconds until an answer has begun, or the client hears that none did: every try as slow as it may be."""
    worst = max(_round(arm.upstreams, specs) for arm in route.arms)
    retries = route.retries
    worst = worst * (1 + retries.most) + 2 * retries.most_s * retries.most
    return worst if route.deadline_s is None else min(worst, route.deadline_s)


def _round(members: Sequence[MemberSpec], specs: Mapping[str, AnyUpstream]) -> float:
    return sum(map(_try, (specs[member.name] for member in members)))


def _try(spec: AnyUpstream) -> float:
    queue = spec.load.queue_s if spec.load.concurrency is not None else 0.0
    return queue + min(spec.timeouts.connect_s + spec.timeouts.first_byte_s, spec.timeouts.total_s)


def _asked(route: RouteSpec, specs: Mapping[str, AnyUpstream], prices: Callable[[], Prices]) -> Iterator[str]:
    if route.split is None:
        yield _members(route, route.arms[0], specs, prices)
        return
    weight = sum(arm.weight for arm in route.arms)
    yield "split by key" if route.split.by == "key" else "split at random"
    for arm in route.arms:
        yield f"{arm.weight / weight:.0%} {arm.name}: {_members(route, arm, specs, prices)}"


def _members(route: RouteSpec, arm: ArmSpec, specs: Mapping[str, AnyUpstream], prices: Callable[[], Prices]) -> str:
    members = arm.upstreams
    if route.balance == "price":
        return _priced(route, members, specs, prices())
    if len(members) == 1:
        return _named(members[0])
    if route.balance == "fallback":
        return ", then ".join(map(_named, members))
    total = sum(member.weight for member in members)
    same = len({member.weight for member in members}) == 1
    shares = [_named(m) if same else f"{_named(m)} {m.weight / total:.0%}" for m in members]
    return f"{_BALANCES[route.balance]}: {', '.join(shares)}"


_BALANCES = {"weight": "by weight", "least": "least under way", "latency": "quickest"}


def _named(member: MemberSpec) -> str:
    return f"{member.name} as {member.model}" if member.model else member.name


def _priced(route: RouteSpec, members: Sequence[MemberSpec], specs: Mapping[str, AnyUpstream], prices: Prices) -> str:
    costs = {member: blended(prices, specs[member.name], member.model or route.model) for member in members}
    ordered = sorted(members, key=lambda member: float("inf") if costs[member] is None else costs[member] or 0.0)
    return "cheapest: " + ", then ".join(f"{_named(member)} ({_dollars(costs[member])})" for member in ordered)


def _dollars(cost: float | None) -> str:
    return "no price is known" if cost is None else f"${cost * 1000:.2f} a million tokens"


def _notes(route: RouteSpec, specs: Mapping[str, AnyUpstream]) -> Iterator[str]:
    if route.aliases:
        yield f"also asked for as {', '.join(route.aliases)}"
    if route.sticky:
        what = "the key" if route.sticky.by == "key" else f"the first {route.sticky.characters} characters"
        yield f"sticks to {what}, up to {route.sticky.spread:g} times a fair share"
    if route.retries.most:
        on = "" if route.retries.after == AGAIN else f" after {', '.join(route.retries.after)}"
        times = "once" if route.retries.most == 1 else f"{route.retries.most} times"
        yield f"asks again{on} {times}, {route.retries.budget:.0%} of requests at most"
    if route.fallback_on != GOES_ON:
        yield f"goes on only after {', '.join(route.fallback_on) or 'nothing'}"
    if route.mirror:
        yield f"{route.mirror.share:.0%} mirrored to {route.mirror.name}, {route.mirror.most} at once"
    yield f"an answer begins within {longest(route, specs):g} s, or the client hears that none did"
