"""One exchange as the pipeline sees it: the call that began it, how it stands, and whom it is told to."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from gateway.cache.entry import Entry, State
from gateway.exchange import Exchange, Usage
from gateway.limits.gate import Account, Lease
from gateway.pipeline.capture import Capture
from gateway.policy.docket import Docket, Stage
from gateway.policy.memory import Reader
from gateway.policy.policy import Bench, Bound, Policy
from gateway.policy.vault import Vault
from gateway.policy.window import Window
from gateway.routing import Route, Target
from gateway.stream import Outlet, Tally
from gateway.upstream import Reply
from gateway.wire.codec import CHAT, Codec
from gateway.wire.logprobs import Token


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: a key's name, the policy bound to it if any, the routes it may ask for, and what it may use of them."""

    name: str = ""
    policy: str | None = None
    routes: frozenset[str] | None = None  # None: all
    account: Account | None = None  # None: without limits

    def may(self, route: str) -> bool:
        return self.routes is None or route in self.routes


class Twin(Protocol):
    """An answer in another wire than the chat API's: a whole one, and piece by piece."""

    def whole(self, status: int, content: bytes, ident: str) -> bytes: ...
    def piece(self, chunk: bytes) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Call:
    """A request as it came in. `trace` and `parent` are W3C trace and span ids, `started` an instant on our clock.

    `twin` is what the client is told in its place, where it speaks another wire; `outlet` takes pieces of a stream that
    need not wait.
    """

    id: str
    endpoint: str
    raw: bytes
    principal: Principal
    started: float
    trace: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    codec: Codec = CHAT
    twin: Twin | None = None
    parent: str = ""
    outlet: Outlet | None = None


class Client(Protocol):
    """Where the answer goes. `respond` is a whole one; `write` and `end` are its streamed twin."""

    async def respond(self, status: int, headers: Mapping[str, str], body: bytes) -> None: ...
    async def write(self, chunk: bytes, headers: Mapping[str, str]) -> None: ...
    async def end(self) -> None: ...


class Ledger(Protocol):
    """Where what happened goes: the log, the metrics, the prices, the scorer."""

    def started(self, exchange: Exchange) -> None: ...
    def completed(self, exchange: Exchange) -> None: ...
    def answered(self, exchange: Exchange, target: Target, answer: Answer) -> None: ...
    def quote(self, model: str, target: Target, usage: Usage) -> float: ...


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as the scorer needs it: the first choice's text, what it answers to, the other choices' `samples`.

    `tokens` are log-probabilities (`wire.logprobs`), `policy` the name of the one it was judged by.
    """

    text: str
    question: str
    context: Sequence[str]
    samples: Sequence[str] = ()
    tokens: Sequence[Token] = ()
    policy: str = ""


class Kept(Protocol):
    """What becomes of an exchange on a route that keeps answers."""

    state: State

    def came(self, piece: bytes) -> None: ...
    async def found(self) -> Entry | None: ...
    async def keep(self, run: Run, reply: Reply) -> None: ...


@dataclass(slots=True)
class Run:
    """One exchange on its way: its record, what its rails said, its placeholders, what its answer adds up to."""

    exchange: Exchange
    policy: Policy
    route: Route
    body: dict[str, Any]
    tally: Tally
    docket: Docket = field(default_factory=Docket)
    vault: Vault = field(default_factory=Vault)
    question: str = ""
    context: Sequence[str] = ()
    system: Sequence[str] = ()  # the request's system and developer texts
    characters: int = 0  # of the request's text
    bytes: int = 0  # of it, in UTF-8
    verdict: Future[None] | None = None  # on the request, where it is sent before it was judged
    target: Target | None = None  # asked last
    status: int = 0  # that it answered with
    asked_usage: bool = False  # of its stream, where the client did not
    capture: Capture = field(default_factory=Capture)
    lease: Lease | None = None  # what is reserved of the key's limits, where it has any
    kept: Kept | None = None  # where its route keeps answers
    reader: Reader | None = None  # of what rails found in texts before

    @property
    def codec(self) -> Codec:
        return self.tally.codec

    def bench(self, stage: Stage) -> Bench:
        """Requests say again what was said before; answers seldom do, and so push nothing out of the memory."""
        reader = self.reader if stage == "input" else None
        return Bench(self._told(stage), stage, self.docket, self.tally.clock, reader)

    def _told(self, stage: Stage) -> Sequence[Bound]:
        """The rails of a stage; those that judge by the request know it."""
        bounds = self.policy.stage(stage)
        tells = [getattr(bound.rail, "told", None) for bound in bounds]
        if not any(tells):
            return bounds
        told = zip(bounds, tells, strict=True)
        return [replace(b, rail=tell(self.system), mark="") if tell else b for b, tell in told]

    def window(self, *, whole: bool = False) -> Window:
        return Window(self.bench("output"), self.vault, self.question, self.context, whole)

    def usage(self) -> Usage:
        """Tokens as the upstream counts them, or estimated where it must have worked and did not say."""
        if self.tally.counts:
            return Usage(*self.tally.counts, said=self.tally.spent)
        left = {"cancelled", "blocked", "unavailable"} if self.exchange.overlap else {"cancelled"}
        gone = self.exchange.outcome in left and not self.status
        if not self.target or not (gone or 200 <= self.status < 300):
            return Usage()
        return Usage(input=_tokens(self.characters), output=_tokens(self.tally.characters), estimated=True)


def _tokens(characters: int) -> int:
    """About four characters make a token of English, OpenAI says; better than nothing, and marked as such."""
    return -(-characters // 4)
