"""`POST /v1/score`: what the scorer says of an answer that is sent to it. No model is asked and nothing is judged."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.errors import NotSupported, TidegateError, WorkerError, WorkerFault
from gateway.exchange import Exchange, Timing
from gateway.limits.gate import Gate
from gateway.limits.rule import Need
from gateway.pipeline.response import Response
from gateway.pipeline.run import Call, Client, Ledger
from gateway.policy.policy import Policy
from gateway.policy.rail import Caller
from gateway.policy.rails.batch import clean
from gateway.scoring import asked
from gateway.scoring.sampler import Recorded, Sample
from gateway.wire import body as json_body
from gateway.wire.codec import Codec

ENDPOINT = "/score"
DEFAULT = "default"
SOURCES = frozenset({"documents", "tool"})  # what is evidence where no policy says

CODEC = Codec(ENDPOINT, json_body.read, lambda _body: ())

_LOG = logging.getLogger("tidegate")


@dataclass(slots=True)
class Scores:
    """`pipeline.Pipeline` for this endpoint. `scorer` is None where the configuration has no `scoring`."""

    scorer: Caller | None
    policies: Mapping[str, Policy]
    ledger: Ledger
    clock: Callable[[], float]
    recorded: Recorded
    deadline_s: float = 5.0
    gate: Gate | None = None

    async def run(self, call: Call, client: Client) -> None:
        """Answer `call` to `client` and leave its record, however it ends."""
        exchange = Exchange(call.id, call.endpoint, Timing(call.started), call.trace, call.principal.name)
        exchange.received, exchange.parent = len(call.raw), call.parent
        sent = Response(exchange, client, self.ledger, self.clock)
        try:
            await sent.own(await self._answered(call, exchange))
        except TidegateError as error:
            await sent.refuse(error)
        except asyncio.CancelledError:
            exchange.outcome, exchange.error = "cancelled", "client_gone"
            raise
        except Exception as error:  # noqa: BLE001 - as in `Pipeline.run`: a fault of ours is a 500 and a record
            exchange.error = type(error).__name__
            _LOG.error("a score failed", exc_info=error)  # its type and places; `observe.stderr` prints no values
            await sent.refuse(TidegateError("The gateway failed to handle this request."))
        finally:
            sent.record()

    async def _answered(self, call: Call, exchange: Exchange) -> bytes:
        body = json_body.read(call.raw)
        policy = self._policy(call, exchange)
        sources = frozenset(policy.spec.context) if policy else SOURCES
        items = _clean(asked.items(body, sources, policy.name if policy else ""))
        self.ledger.started(exchange)
        await self._admit(call)
        said = await self._said(items, exchange)
        answer = {"id": call.id, "object": "score", "data": asked.answer(items, said)}
        return orjson.dumps(answer)

    def _policy(self, call: Call, exchange: Exchange) -> Policy | None:
        """The key's, else the one that is called `default`, if there is one."""
        policy = self.policies.get(call.principal.policy or DEFAULT)
        if policy:
            exchange.policy, exchange.digest = policy.name, policy.digest
        return policy

    async def _admit(self, call: Call) -> None:
        """A request counts as one, and has no tokens."""
        if self.gate and (account := call.principal.account):
            lease = await self.gate.admit(account, call.id, Need(0, 0))
            lease.enforce()
            lease.settle(0, 0.0)

    async def _said(self, items: Sequence[dict[str, Any]], exchange: Exchange) -> Sequence[Mapping[str, Any]]:
        if self.scorer is None:
            raise NotSupported("This gateway does not score: its configuration has no `scoring`.")
        began = self.clock()
        try:
            said = await self.scorer.call("score", {"items": items}, deadline_s=self.deadline_s)
        except WorkerFault:
            raise
        except WorkerError as error:
            raise type(error)("The scorer cannot answer now. Try again.", retry_after=1) from None
        scores: list[Mapping[str, Any]] = said["scores"]
        spent = (self.clock() - began) / len(items)
        for item, one in zip(items, scores, strict=True):
            sample = Sample(exchange.id, "", "", item["question"], item["context"], item["answer"])
            self.recorded(sample, one, spent)
        return scores


def _clean(items: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Half characters, which no other process could read, made whole."""
    return [
        {
            **item,
            "question": clean(item["question"]),
            "answer": clean(item["answer"]),
            "context": [clean(text) for text in item["context"]],
            "samples": [clean(text) for text in item["samples"]],
        }
        for item in items
    ]
