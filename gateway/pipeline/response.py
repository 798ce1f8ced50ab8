"""The client's side of an exchange: what it was told so far, how it is told of an error, and the record kept of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.errors import NotSupported, PolicyBlocked, PolicyUnavailable, RequestError, TidegateError
from gateway.exchange import Exchange, Outcome
from gateway.pipeline.run import Answer, Client, Ledger, Run, Twin
from gateway.stream import Outlet, Relay
from gateway.upstream import Reply
from gateway.wire import envelope


@dataclass(slots=True)
class Response:
    """What the client has been told so far, and the record kept of it."""

    exchange: Exchange
    client: Client
    ledger: Ledger
    clock: Callable[[], float]
    twin: Twin | None = None
    run: Run | None = None
    relay: Relay | None = None
    begun: bool = False
    recorded: bool = False
    outlet: Outlet | None = None

    async def whole(self, reply: Reply, raw: bytes) -> None:
        await self._cleared()
        if reply.status < 400 and self.run and self.run.codec.streams:
            self.exchange.timing.first_token = self.clock()
        headers = {**_passed_on(reply), "content-type": "application/json", **self.headers()}
        await self._respond(reply.status, headers, raw)

    async def own(self, raw: bytes) -> None:
        """Answer with what nobody but the gateway says."""
        await self._respond(200, {"content-type": "application/json", **self.headers()}, raw)

    async def chunk(self, reply: Reply, chunk: bytes) -> None:
        await self._cleared()
        headers = {} if self.begun else {**_passed_on(reply), "cache-control": "no-cache", **self.headers()}
        self.begun = True
        await self.client.write(self._counted(chunk), headers)

    @property
    def open(self) -> bool:
        """Whether a stream has begun that can go on by `write`. It began after the request was judged."""
        return self.outlet is not None and self.begun and self.outlet.open

    def write(self, piece: bytes) -> None:
        """`chunk`, for one that needs not wait."""
        told = piece if self.twin is None else self.twin.piece(piece)
        self.exchange.sent += len(told)
        if self.outlet is not None:
            self.outlet.write(told)
        if self.run is not None and self.run.kept is not None:
            self.run.kept.came(piece)

    async def last(self, reply: Reply, chunk: bytes) -> None:
        """Write a stream's last bytes. A client that has them may leave: the record comes first."""
        await self._cleared()
        headers = {} if self.begun else {**_passed_on(reply), "cache-control": "no-cache", **self.headers()}
        self.begun = True
        chunk = self._counted(chunk)
        self.record()
        await self.client.write(chunk, headers)

    async def refuse(self, error: TidegateError) -> None:
        """End with `error`: as OpenAI's envelope if nothing was sent yet, else as the stream's last events."""
        self.exchange.error = self.exchange.error or error.code or error.kind
        self.exchange.outcome = _outcome(error)
        if not self.begun or not self.relay:
            headers = {"content-type": "application/json", **envelope.headers(error), **self.headers()}
            await self._respond(error.status, headers, envelope.body(error))
            return
        last = self._counted(self.relay.ending(error))
        self.record()
        await self.client.write(last, {})
        await self.client.end()

    async def _cleared(self) -> None:
        """Nothing of an answer is told before the request was judged."""
        if self.run is None or self.run.verdict is None:
            return
        await self.run.verdict
        self.run.verdict = None
        if self.exchange.timing.first_token is not None:
            self.exchange.timing.first_token = self.clock()

    def _counted(self, chunk: bytes) -> bytes:
        """A piece of a stream as the client gets it."""
        chunk = self.twin.piece(chunk) if self.twin else chunk
        self.exchange.sent += len(chunk)
        return chunk

    async def _respond(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        body = self.twin.whole(status, body, self.exchange.id) if self.twin else body
        self.exchange.status = status
        self.exchange.sent += len(body)
        self.record()
        await self.client.respond(status, headers, body)

    def headers(self) -> dict[str, str]:
        """Of every answer. What the rails have said up to now; overhead is all time not spent on the upstream."""
        timing, now = self.exchange.timing, self.clock()
        waiting = now - timing.sent if timing.sent is not None and timing.connected is None else 0.0
        overhead = now - timing.started - timing.upstream - waiting
        return {
            "x-request-id": self.exchange.id,
            "x-tidegate-verdict": self.run.docket.verdict() if self.run else "allow",
            "x-tidegate-overhead-ms": f"{max(overhead, 0) * 1000:.2f}",
            **(self.run.lease.headers() if self.run and self.run.lease else {}),
            **({"x-cache": self.run.kept.state} if self.run and self.run.kept else {}),
        }

    def record(self) -> None:
        """Write the outcome, once, before the client has the answer's last byte."""
        if self.recorded:
            return
        self.recorded = True
        timing = self.exchange.timing
        timing.finished = self.clock()
        if timing.sent is not None and timing.connected is None:
            timing.upstream = timing.finished - timing.sent
        if self.run:
            self._note(self.run)
        self.ledger.completed(self.exchange)

    def _note(self, run: Run) -> None:
        exchange = self.exchange
        exchange.judgements, exchange.verdict = run.docket.judgements(), run.docket.verdict()
        exchange.timing.output_rails = sum([j.seconds for j in exchange.judgements if j.stage == "output"])
        exchange.timing.gaps, exchange.timing.last_token = run.tally.gaps, run.tally.last
        exchange.answered, exchange.finish = run.tally.model, run.tally.finish
        exchange.usage = run.usage()
        exchange.captured = run.capture.record(run.vault)
        if exchange.captured:
            exchange.answer, exchange.user = _word(run.tally.newest, "id"), _user(run.body)
        if run.target:
            said = run.tally.text(), run.question, run.context, run.tally.samples(), run.tally.tokens
            answer = Answer(*said, policy=exchange.policy)
            self.ledger.answered(exchange, run.target, answer)
        if run.lease:
            run.lease.settle(exchange.usage.input + exchange.usage.output, exchange.cost.total)


def _user(body: Mapping[str, Any]) -> str:
    """Who asks, in the client's words: OpenAI's newer name for it, or the older."""
    return _word(body, "safety_identifier") or _word(body, "user")


def _word(body: Mapping[str, Any] | None, name: str) -> str:
    said = body.get(name) if body else None
    return said[:256] if isinstance(said, str) else ""


_FORWARDED = frozenset({"content-type", "retry-after", "openai-processing-ms", "openai-version"})
_SANE = re.compile(r"[\x20-\x7e]{1,256}")


def _passed_on(reply: Reply) -> dict[str, str]:
    """The upstream's headers that mean something to a client. Its cookies, limits and server names do not."""
    return {k.lower(): v for k, v in reply.headers if k.lower() in _FORWARDED and _SANE.fullmatch(v)}


def _outcome(error: TidegateError) -> Outcome:
    match error:
        case PolicyBlocked():
            return "blocked"
        case PolicyUnavailable():
            return "unavailable"
        case RequestError() | NotSupported():
            return "rejected"
        case _:
            return "failed"
