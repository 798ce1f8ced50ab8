"""Whether an exchange may be answered with an answer that was given before, and whether its own is kept for others."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from gateway.cache import entry
from gateway.cache.entry import Answers, Entry, State
from gateway.config.schema import CacheSpec
from gateway.pipeline.run import Call, Run
from gateway.upstream import Reply


@dataclass(slots=True)
class Kept:
    """What becomes of one exchange on a route that keeps answers."""

    answers: Answers
    spec: CacheSpec
    place: str = ""  # none where it is neither answered from what is kept nor kept
    state: State = "bypass"
    pieces: list[bytes] = field(default_factory=list)
    size: int = 0

    def came(self, piece: bytes) -> None:
        """A piece of the answer, as it was delivered."""
        if self.place and self.size <= entry.LARGEST:
            self.size += len(piece)
            self.pieces.append(piece)

    async def found(self) -> Entry | None:
        kept = await self.answers.get(self.place) if self.place else None
        if kept:
            self.state = "hit"
        return kept

    async def keep(self, run: Run, reply: Reply) -> None:
        """Keep the answer, if it is whole, and no rail would have had it otherwise or could not say."""
        if self.place and 0 < self.size <= entry.LARGEST and reply.status == 200 and _clean(run):
            kind = reply.header("content-type", "application/json")
            await self.answers.put(self.place, Entry(kind, tuple(self.pieces)), self.spec.ttl_s)


def of(answers: Answers | None, call: Call, run: Run) -> Kept | None:
    """Of a request as it came in, before any rail rewrote it: what is given back to a client is in its answer."""
    spec = run.route.spec.cache if run.route.spec else None
    if spec is None or answers is None:
        return None
    kept, body, exchange = Kept(answers, spec), run.body, run.exchange
    several = type(body.get("n")) is int and body["n"] != 1
    if run.codec.streams and (several or (entry.sampled(body) and not spec.sampled)):
        return kept
    whose = f"key {call.principal.name}" if spec.scope == "key" else "route"
    kept.place = entry.place(body, call.endpoint, run.route.model, exchange.arm, exchange.digest, whose)
    kept.state = "miss"
    return kept


def reply(kept: Entry) -> Reply:
    """An answer that was given before, as its upstream gave it."""
    return Reply(200, (("content-type", kept.kind),), _nothing())


async def _nothing() -> AsyncGenerator[bytes, None]:
    return
    yield b""


def _clean(run: Run) -> bool:
    judgements = run.docket.judgements()
    judged = not any(said.action == "block" or said.fault for said in judgements)
    ended = not run.codec.streams or entry.whole([run.tally.finish])
    return judged and ended and run.exchange.outcome == "completed" and not run.tally.failed
