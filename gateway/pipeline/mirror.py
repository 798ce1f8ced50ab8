"""Shadow traffic: another upstream is asked the same beside the path, and nobody hears what it says but the record.

The client waits for nothing here. What is asked is the request as the policy let it pass; one that a policy refused is
never mirrored. More than a route allows at a time is skipped, and counted.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Protocol

from gateway.errors import TidegateError, UpstreamBroken
from gateway.exchange import Exchange, Timing
from gateway.pipeline import request
from gateway.pipeline.run import Answer, Call, Run
from gateway.routing import Answered, Asked, Target
from gateway.stream import Tally
from gateway.upstream import Ask, Chunks, Reply
from gateway.wire import body as json_body
from gateway.wire import sse

MAX_ANSWER = 16 * 1024 * 1024
"""Bytes read of a mirrored answer: it is read for its numbers, and held by nobody."""

_LOG = logging.getLogger("tidegate")


class Shadows(Protocol):
    """Where mirrored requests are written down. `mirroring` is False where no intent could be written."""

    def mirroring(self, exchange: Exchange, of: str) -> bool: ...
    def mirrored(self, exchange: Exchange, of: str) -> None: ...
    def answered(self, exchange: Exchange, target: Target, answer: Answer) -> None: ...


@dataclass(slots=True)
class Mirrors:
    """`skipped` is told of requests that were to be mirrored and were not, by route and upstream."""

    ledger: Shadows
    clock: Callable[[], float]
    rng: Random
    skipped: Callable[[str, str], None]
    going: Counter[str] = field(default_factory=Counter)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def offer(self, call: Call, run: Run, raw: bytes) -> None:
        """Mirror the request, if its route does, it falls in the share, and there is a place. Waits for nothing."""
        mirror = run.route.mirror
        if mirror is None or self.rng.random() >= mirror.share:
            return
        member = mirror.group.members[0]
        if not member.target.answers(call.codec.endpoint):
            return
        fit = member.standing.rank(mirror.group.clock()) == 0
        if self.going[run.route.model] >= mirror.most or not fit:
            self.skipped(run.route.model, member.standing.name)
            return
        self.going[run.route.model] += 1
        task = asyncio.create_task(self._mirrored(call, run, raw), name="mirror")
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def close(self, patience: float) -> None:
        """Give those under way `patience` seconds, then end them; they are recorded all the same."""
        if self.tasks:
            await asyncio.wait(self.tasks, timeout=patience)
        left = list(self.tasks)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _mirrored(self, call: Call, run: Run, raw: bytes) -> None:
        try:
            if await _let_pass(run):
                await self._walk(call, _shadow(call, run, self.clock), raw)
        except Exception as error:  # noqa: BLE001 - what goes wrong beside the path is not the path's, and not unsaid
            _LOG.error("a mirrored request failed", exc_info=error)
        finally:
            self.going[run.route.model] -= 1

    async def _walk(self, call: Call, shadow: Run, raw: bytes) -> None:
        exchange = shadow.exchange
        if not self.ledger.mirroring(exchange, call.id):
            return
        try:
            await self._ask(call, shadow, raw)
        except TidegateError as error:
            exchange.outcome, exchange.error = "failed", error.code or type(error).__name__
        except asyncio.CancelledError:
            exchange.outcome, exchange.error = "cancelled", "shutdown"
            raise
        finally:
            self._record(call, shadow)

    async def _ask(self, call: Call, shadow: Run, raw: bytes) -> None:
        exchange, mirror = shadow.exchange, shadow.route.mirror
        if mirror is None:
            raise AssertionError("only routes with a mirror are mirrored")
        errand = request.errand(partial(_asking, raw=raw, shadow=shadow, call=call), shadow, call)
        exchange.timing.sent = self.clock()
        async with Asked(mirror.group, errand) as answered:
            exchange.timing.connected = self.clock()
            self._note(answered, shadow)
            await _read(answered.reply, shadow)
        if shadow.tally.failed or shadow.status >= 400:
            exchange.outcome, exchange.error = "failed", "upstream_error"

    def _note(self, answered: Answered, shadow: Run) -> None:
        shadow.exchange.upstream = answered.target.upstream.name
        shadow.exchange.status = shadow.status = answered.reply.status

    def _record(self, call: Call, shadow: Run) -> None:
        exchange = shadow.exchange
        exchange.timing.finished = self.clock()
        exchange.timing.upstream = exchange.timing.finished - (exchange.timing.sent or exchange.timing.finished)
        exchange.answered, exchange.finish = shadow.tally.model, shadow.tally.finish
        exchange.usage = shadow.usage()
        if shadow.target:
            answer = Answer(shadow.tally.text(), shadow.question, shadow.context, policy=shadow.policy.name)
            self.ledger.answered(exchange, shadow.target, answer)
        self.ledger.mirrored(exchange, call.id)


def _asking(target: Target, raw: bytes, shadow: Run, call: Call) -> Ask:
    return request.ask(target, raw, shadow, call)


async def _let_pass(run: Run) -> bool:
    """Whether the request's policy lets it pass; where its rails still judge, once they have."""
    if run.verdict is None:
        return True
    await asyncio.wait({run.verdict})
    return not run.verdict.cancelled() and run.verdict.exception() is None


def _shadow(call: Call, run: Run, clock: Callable[[], float]) -> Run:
    """A run of its own: nothing that is mirrored touches the exchange it is the shadow of."""
    of, name = run.exchange, run.route.mirror.group.members[0].standing.name if run.route.mirror else ""
    exchange = Exchange(f"mir_{call.id}", call.endpoint, Timing(clock()), call.trace, call.principal.name)
    exchange.model, exchange.route, exchange.stream, exchange.upstream = of.model, of.route, of.stream, name
    exchange.policy, exchange.digest, exchange.received = of.policy, of.digest, of.received
    shadow = Run(exchange, run.policy, run.route, run.body, Tally(clock, run.codec))
    shadow.question, shadow.context, shadow.characters = run.question, run.context, run.characters
    return shadow


async def _read(reply: Reply, shadow: Run) -> None:
    """Read the answer for what it adds up to."""
    streamed = reply.status < 400 and reply.header("content-type").lower().startswith("text/event-stream")
    async with aclosing(_bounded(reply.chunks)) as chunks:
        if streamed:
            decoder = sse.Decoder()
            async for chunk in chunks:
                _tally(decoder.feed(chunk), shadow)
            _tally(decoder.finish(), shadow)
            return
        parts = [chunk async for chunk in chunks]
    if reply.status < 400:
        _noted(b"".join(parts), shadow)


async def _bounded(chunks: Chunks) -> AsyncGenerator[bytes, None]:
    size = 0
    async with aclosing(chunks):
        async for chunk in chunks:
            size += len(chunk)
            if size > MAX_ANSWER:
                raise UpstreamBroken(f"The mirrored answer is larger than {MAX_ANSWER} bytes.")
            yield chunk


def _tally(events: Iterable[sse.Event], shadow: Run) -> None:
    for event in events:
        if event.data and event.data != sse.DONE:
            _noted(event.data, shadow)


def _noted(raw: bytes, shadow: Run) -> None:
    try:
        body = json_body.answer(raw)
        shadow.tally.note(body, list(shadow.codec.deltas(body)))
    except json_body.Unreadable as error:
        raise UpstreamBroken(f"The mirrored answer cannot be read: {error}.") from None
