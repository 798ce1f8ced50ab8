"""Accounts in a Redis or Valkey that gateways share. `account.lua` decides there, in one step nobody interrupts."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha1
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from gateway.errors import LimitsUnavailable
from gateway.limits.rule import Claim, Denial, Need, Reason, Standing
from gateway.store import Link, Lost

SCRIPT = Path(__file__).with_name("account.lua").read_text()
DIGEST = sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()  # how Redis names it

RENEW_S = 20.0  # a reservation that nobody renews for sixty is charged, and what it came to is not asked any more
BATCH = 100
UNSETTLED = 20_000  # kept while the store is away; those before are charged what they had reserved
RETRY_S = 0.25
FAREWELL_S = 1.0

Args = Sequence[str | int]


@dataclass(slots=True)
class Shared:
    """`gate.Store` over a link."""

    link: Link
    clock: Callable[[], float] = time.monotonic
    _live: dict[str, Claim] = field(default_factory=dict)
    _ended: deque[tuple[Claim, Need]] = field(default_factory=lambda: deque(maxlen=UNSETTLED))
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _stopped: bool = False

    async def reserve(self, claim: Claim) -> tuple[Standing, Denial | None]:
        """Raises `LimitsUnavailable`."""
        lease = _lease(claim)
        keys, args = self._keys(claim.name), ("reserve", "", lease, *_rule(claim))
        try:
            told = await self._run(keys, args)
        except Lost:
            self.settle(claim, Need())  # it may have been reserved all the same
            raise LimitsUnavailable(
                "What this key may still use cannot be looked up. Try again.", retry_after=1
            ) from None
        except asyncio.CancelledError:
            self.settle(claim, Need())
            raise
        standing, denial = _read(told)
        if denial is None:
            self._live[lease] = claim
        return standing, denial

    def settle(self, claim: Claim, spent: Need) -> None:
        """Soon, beside the exchange."""
        self._live.pop(_lease(claim), None)
        self._ended.append((claim, spent))
        self._news.set()

    async def run(self) -> None:
        """Settle what ended and renew what is under way, until `stop`."""
        renewal = self.clock() + RENEW_S
        while not self._stopped:
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, renewal - self.clock())):
                    await self._news.wait()
            try:
                await self._settle_all()
                if self.clock() >= renewal:
                    await self._renew_all()
                    renewal = self.clock() + RENEW_S
            except Lost:
                await asyncio.sleep(RETRY_S)
                self._news.set()

    def stop(self) -> None:
        """Told, not cancelled: a cancellation that meets a command of the client's may be lost in it."""
        self._stopped = True
        self._news.set()

    async def farewell(self) -> None:
        """Settle what has ended, if that can be done soon."""
        with suppress(Lost, TimeoutError):
            async with asyncio.timeout(FAREWELL_S):
                await self._settle_all()

    async def _settle_all(self) -> None:
        self._news.clear()
        while self._ended:
            batch = [self._ended[n] for n in range(min(BATCH, len(self._ended)))]
            await self._run_all([(self._keys(c.name), ("settle", "", _lease(c), *spent)) for c, spent in batch])
            for settled in batch:
                if self._ended and self._ended[0] is settled:  # else there were too many, and it is gone already
                    self._ended.popleft()

    async def _renew_all(self) -> None:
        under: dict[str, list[str]] = {}
        for lease, claim in self._live.items():
            under.setdefault(claim.name, []).append(lease)
        calls: list[tuple[Args, Args]] = [
            (self._keys(name), ("renew", "", *leases[n : n + BATCH]))
            for name, leases in under.items()
            for n in range(0, len(leases), BATCH)
        ]
        for n in range(0, len(calls), BATCH):
            await self._run_all(calls[n : n + BATCH])

    def _keys(self, name: str) -> Args:
        """Both in one slot of a cluster."""
        return f"{self.link.prefix}:account:{{{name}}}", f"{self.link.prefix}:leases:{{{name}}}"

    async def _run(self, keys: Args, args: Args) -> Any:
        try:
            return await self.link.call(lambda client: client.evalsha(DIGEST, 2, *keys, *args))
        except NoScriptError:
            return await self.link.call(lambda client: client.eval(SCRIPT, 2, *keys, *args))

    async def _run_all(self, calls: Sequence[tuple[Args, Args]]) -> None:
        """Settling twice is settling once, so a batch that failed may be sent again."""

        async def send(client: Redis) -> None:
            async with client.pipeline(transaction=False) as pipe:
                for keys, args in calls:
                    pipe.evalsha(DIGEST, 2, *keys, *args)
                await pipe.execute()

        try:
            await self.link.call(send)
        except NoScriptError:
            await self.link.call(lambda client: client.script_load(SCRIPT))
            await self.link.call(send)


@asynccontextmanager
async def shared(link: Link) -> AsyncGenerator[Shared, None]:
    """The accounts, with somebody who settles and renews beside the exchanges."""
    found = Shared(link)
    task = asyncio.create_task(found.run(), name="accounts")
    try:
        yield found
    finally:
        found.stop()
        await task
        await found.farewell()


def _lease(claim: Claim) -> str:
    return f"{claim.ident}|{claim.need.tokens}|{claim.need.nano}"


def _rule(claim: Claim) -> Args:
    rule = claim.rule
    return ["" if n is None else n for n in (rule.requests, rule.tokens, rule.parallel, rule.day, rule.month)]


_REASONS: dict[bytes, Reason] = {
    b"requests": "requests",
    b"tokens": "tokens",
    b"parallel": "parallel",
    b"day": "day",
    b"month": "month",
}


def _read(told: Any) -> tuple[Standing, Denial | None]:
    reason, wait, requests, tokens, requests_reset, tokens_reset = told
    standing = Standing(requests, tokens, requests_reset / 1000, tokens_reset / 1000)
    return standing, Denial(_REASONS[reason], None if wait < 0 else wait / 1000) if reason else None
