"""One request to a route: who is asked first, who next, and what each try says of its upstream.

Another is asked only before the first byte of an answer. What is decided here is decided without waiting; only
`_tried` (a place in a queue, a reply) and `_rested` (a pause) wait.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from types import TracebackType

from gateway.config.traffic import Fault
from gateway.errors import UpstreamBroken, UpstreamBusy, UpstreamError, UpstreamTimeout, UpstreamUnavailable
from gateway.routing.backoff import pause
from gateway.routing.faults import UNHEARD, of_error, of_status
from gateway.routing.group import Group
from gateway.routing.standing import OUT, Standing
from gateway.routing.sticky import chosen
from gateway.routing.target import Member, Target
from gateway.upstream import Ask, Reply
from gateway.upstream.patience import retry_after

TICK_S = 0.01
"""How much earlier than another clock says a loop may think that it is time."""


@dataclass(slots=True)
class Errand:
    """What is to be asked. Names of the upstreams asked go to `tried`, seconds spent waiting for a place to `queued`.

    `opening` is the text by which a route that sticks to prompts tells them apart.
    """

    endpoint: str
    ask: Callable[[Target], Ask]
    tried: list[str] = field(default_factory=list)
    model: str = ""
    principal: str = ""
    opening: Callable[[int], str] = lambda _characters: ""
    queued: float = 0.0


@dataclass(frozen=True, slots=True)
class Answered:
    """A reply, and who gave it."""

    target: Target
    reply: Reply


class Asked:
    """`async with asked(…) as answered`: the first reply worth having, or the last one; leaving closes it.

    Raises the last upstream's error where none answered at all, `UpstreamUnavailable` where none is fit to be asked,
    and `NotSupported`.
    """

    __slots__ = (
        "_again",
        "_began",
        "_errand",
        "_fault",
        "_group",
        "_left",
        "_member",
        "_members",
        "_open",
        "_probe",
        "_since",
    )

    def __init__(self, group: Group, errand: Errand) -> None:
        self._group, self._errand = group, errand
        self._members = group.sorted(group.able(errand.endpoint), errand.model)
        self._left: list[Member] = []  # that were asked in this round
        self._again = 0  # rounds after the first
        self._fault: Fault | None = None
        self._probe = False
        self._since = self._began = 0.0  # when the errand, and when this try began
        self._open: AbstractAsyncContextManager[Reply] | None = None
        self._member: Member = self._members[0]

    async def __aenter__(self) -> Answered:
        group = self._group
        patience = group.route.deadline_s
        self._since = group.clock()
        if group.pays:
            group.budget.request(self._since)
        if patience is None:
            return await self._first()
        try:
            async with asyncio.timeout(patience):
                return await self._first()
        except TimeoutError:
            raise UpstreamTimeout(f"No upstream began to answer within {patience:g} s.") from None

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        if isinstance(error, UpstreamBroken | UpstreamTimeout):
            self._fault = of_error(error)
        return await self._close(kind, error, trace)

    # Who is asked

    async def _first(self) -> Answered:
        member = self._choose(self._since)
        if member is None:
            raise self._nobody()
        while True:
            try:
                reply = await self._tried(member)
            except UpstreamError as error:
                fault, wait = of_error(error), error.retry_after
                if (member := self._next(fault, wait)) is None:
                    raise
            else:
                if (fault_ := of_status(reply.status)) is None:
                    return Answered(self._member.target, reply)
                fault, wait = fault_, retry_after(reply.header, time.time)
                self._fault = fault
                if (member := self._next(fault, wait)) is None:
                    return Answered(self._member.target, reply)
                await self._close(None, None, None)
            if (found := await self._rested(member, wait)) is None:
                raise self._nobody()
            member = found

    def _choose(self, now: float) -> Member | None:
        """Of those not asked yet, one of the fittest, as the route balances them."""
        members = self._members
        if len(members) == 1:
            only = members[0]
            return only if only not in self._left and only.standing.rank(now) < OUT else None
        ranked = [(member.standing.rank(now), member) for member in members if member not in self._left]
        best = min([rank for rank, _ in ranked], default=OUT)
        if best >= OUT:
            return None
        fit = [member for rank, member in ranked if rank == best]
        return self._stuck(fit) or self._group.choose(fit, now, self._group.rng)

    def _stuck(self, fit: list[Member]) -> Member | None:
        """The one that the request sticks to, where the route has it stick to one."""
        sticky, errand = self._group.route.sticky, self._errand
        if sticky is None:
            return None
        key = errand.principal if sticky.by == "key" else errand.opening(sticky.characters)
        return chosen(key, self._members, fit, sticky.spread) if key else None

    def _next(self, fault: Fault, wait: float | None) -> Member | None:
        """Who is asked after `fault`, None where nobody is. Decided before the reply at hand is given up."""
        group, failed = self._group, self._member
        now = group.clock()
        failed.standing.rest(now, fault, wait)
        self._left.append(failed)
        found = self._choose(now) if fault in group.goes_on else None
        if found is None or not (group.ordered or fault in UNHEARD or group.budget.spend(now)):
            found = self._once_more(fault, wait, now)
        if found is not None:
            group.fleet.retries.add((group.route.model, failed.standing.name, fault))
        return found

    def _once_more(self, fault: Fault, wait: float | None, now: float) -> Member | None:
        """Another round, where retries are left and the server does not ask for more patience than there is."""
        retries = self._group.route.retries
        if self._again >= retries.most or fault not in retries.after or (wait or 0.0) > retries.most_s:
            return None
        self._again += 1
        self._left.clear()
        found = self._choose(now)
        return found if found is not None and self._group.budget.spend(now) else None

    async def _rested(self, member: Member, wait: float | None) -> Member | None:
        """`member` at once where it is another one; before a new round a pause, and then whoever is fit."""
        if self._left:
            return member
        retries, rng = self._group.route.retries, self._group.rng
        await asyncio.sleep((wait or 0.0) + pause(rng, self._again - 1, retries.first_s, retries.most_s))
        return self._choose(self._group.clock())

    def _nobody(self) -> UpstreamError:
        now = self._group.clock()
        standings = [member.standing for member in self._members]
        seconds = min(standing.patience(now) for standing in standings)
        if any(standing.breaker.fit(now) for standing in standings):
            said = "Every upstream of this model has as many requests under way and waiting as it is allowed."
            return UpstreamBusy(said, retry_after=seconds)
        return UpstreamUnavailable("No upstream of this model is fit to be asked now.", retry_after=seconds)

    # One try

    async def _tried(self, member: Member) -> Reply:
        self._member, self._fault, self._open = member, None, None
        standing, errand, clock = member.standing, self._errand, self._group.clock
        began = clock()
        if not standing.gate.enter():
            await self._waited(standing)
            errand.queued += clock() - began
            began = clock()
        probe = self._probe = standing.begin()
        self._began = began
        errand.tried.append(standing.name)
        try:
            opened = member.target.upstream.send(errand.ask(member.target))
            reply = await opened.__aenter__()
        except UpstreamError as error:
            standing.over(clock(), began, of_error(error), probe=probe)
            raise
        except BaseException:
            self._given_up(standing)
            raise
        self._open = opened
        if reply.status < 400:
            now = clock()
            standing.heard(now, now - began, probe=probe)
        return reply

    async def _waited(self, standing: Standing) -> None:
        await standing.gate.wait()
        if not standing.breaker.fit(self._group.clock()):
            standing.gate.leave()
            raise UpstreamUnavailable(f"upstream {standing.name}: was ejected while this request waited for it")

    def _given_up(self, standing: Standing) -> None:
        """A try that the route's deadline ended is the upstream's fault; one whose client left is nobody's."""
        now, patience = self._group.clock(), self._group.route.deadline_s
        if patience is not None and now - self._since >= patience - TICK_S:
            standing.over(now, self._began, "timeout", probe=self._probe)
        else:
            standing.dropped(probe=self._probe)

    async def _close(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        """Close the reply; what it says of its upstream is said once."""
        opened, self._open = self._open, None
        standing, probe, began = self._member.standing, self._probe, self._began
        try:
            return await opened.__aexit__(kind, error, trace) if opened else None
        finally:
            unheard = error is not None and self._fault is None
            if unheard:
                standing.dropped(probe=probe)
            else:
                standing.over(self._group.clock(), began, self._fault, probe=probe)
