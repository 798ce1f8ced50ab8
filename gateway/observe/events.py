"""The catalogue of events: every name that may stand in the log, and the fields that come with it.

Keys are flat; a unit is the last word of a key (`_ms`, `_usd`, `_bytes`). `docs/events.md` is made from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway.observe.event import Event, Ms, Spent
from gateway.observe.exported import ExportDropped, ExportFailing, ExportRecovered
from gateway.observe.noticed import (
    DriftCleared,
    DriftDetected,
    FeedbackReceived,
    SignalCleared,
    SignalRaised,
    WebhookFailed,
)
from gateway.observe.roads import MirrorCompleted, MirrorStarted, UpstreamEjected, UpstreamReturned

Verdict = Literal["allow", "flag", "redact", "block"]
Outcome = Literal["completed", "blocked", "unavailable", "rejected", "failed", "cancelled"]


class Judgement(BaseModel):
    """What one rail said of one stage."""

    model_config = ConfigDict(extra="forbid", strict=True)

    stage: Literal["input", "output"] = Field(description="the request, or the answer")
    rail: str = Field(description="name of the rail")
    action: Verdict = Field(description="strongest action it asked for")
    rules: list[str] = Field(description="rules that fired; never the text they fired on")
    count: int = Field(ge=0, description="how many times")
    fault: str = Field(description="why the rail could not judge: `timeout`, `lost`, `error`; else empty")
    ms: Ms = Field(ge=0, description="time it took")
    enforced: bool = Field(description="false where it only watches: `mode: shadow`, `/moderations`")
    remembered: int = Field(ge=0, description="texts that it had judged before and did not look at again")


class Said(BaseModel):
    """A text of an exchange, where `events.capture` has it kept."""

    model_config = ConfigDict(extra="forbid", strict=True)

    role: str = Field(description="of its message; `documents` for evidence outside of messages; else empty")
    channel: str = Field(description="`content`, `reasoning`, `refusal`, `arguments`, `tool` or `field`")
    text: str
    choice: int = Field(default=0, description="of an answer")


class Captured(BaseModel):
    """The texts of an exchange: as they came (`full`), or as they were passed on (`redacted`)."""

    model_config = ConfigDict(extra="forbid", strict=True)

    mode: Literal["redacted", "full"]
    truncated: bool = Field(description="texts were too long to keep all of them")
    input: list[Said] = Field(description="of the request")
    output: list[Said] = Field(description="of the answer")


class ExchangeStarted(Event):
    """A request was admitted. Written before the first byte goes to an upstream."""

    id: str = Field(description="id of the exchange; the `x-request-id` of the answer")
    trace: str = Field(description="trace id of the W3C `traceparent`, or empty")
    principal: str = Field(description="name of the client's key; empty on an open gateway")
    endpoint: str = Field(description="path asked for, below `/v1`")
    model: str = Field(description="model as asked for [gen_ai.request.model]")
    route: str = Field(description="route that answers it")
    arm: str = Field(description="arm of the route's split; empty without one")
    policy: str = Field(description="policy that judges it")
    policy_digest: str = Field(description="digest of the policy as it stood")
    stream: bool = Field(description="[gen_ai.request.stream]")
    received_bytes: int = Field(ge=0, description="size of the request's body")


class ExchangeCompleted(ExchangeStarted, Spent):
    """The canonical line: what one exchange left behind, however it ended. Times that never came are null."""

    outcome: Outcome = Field(
        description="`blocked` by a policy, `unavailable` for want of a verdict, `rejected` before it was begun"
        " (key, limit, size, shape, an endpoint that no upstream has), `failed` upstream or here,"
        " `cancelled` by the client"
    )
    status: int = Field(description="HTTP status the client saw [http.response.status_code]")
    error: str = Field(
        description="code of the error that ended it, its type where it has none; else empty [error.type]"
    )
    verdict: Verdict | Literal["unavailable"] = Field(
        description="strongest action taken; `unavailable` where it was for a rail that could not judge"
    )
    cached: bool = Field(
        default=False,
        description="answered with an answer that was kept; no upstream was asked, and nothing is charged",
    )
    overlap: bool = Field(description="the request was sent while rails still judged it (`overlap: true`)")
    judgements: list[Judgement] = Field(description="what each rail said, stage by stage")
    upstream: str = Field(description="upstream that answered")
    tried: list[str] = Field(description="upstreams asked, in order")
    answered_model: str = Field(description="model as the upstream names it [gen_ai.response.model]")
    finish: str = Field(description="finish reason [gen_ai.response.finish_reasons]")
    input_rails_ms: Ms | None = Field(description="judging the request")
    queue_ms: Ms = Field(ge=0, description="waiting for a place at an upstream; part of the next")
    connect_ms: Ms | None = Field(
        description="from sending the request to the upstream's answer, of a stream to its first byte"
    )
    first_token_ms: Ms | None = Field(
        description="from the request to the first text handed to the client [gen_ai.server.time_to_first_token]"
    )
    per_output_token_ms: Ms | None = Field(
        description="between two tokens after the first, on average [gen_ai.server.time_per_output_token]"
    )
    gap_p50_ms: Ms | None = Field(description="between two pieces of text as the upstream sent them: the median")
    gap_p95_ms: Ms | None = Field(description="… the 95th percentile")
    gap_max_ms: Ms | None = Field(description="… the longest")
    output_rails_ms: Ms = Field(description="judging the answer, summed")
    upstream_ms: Ms = Field(description="waiting for upstreams, summed")
    overhead_ms: Ms | None = Field(description="total less upstream: rails, a slow client and the gateway itself")
    total_ms: Ms | None = Field(description="[gen_ai.server.request.duration]")
    sent_bytes: int = Field(ge=0, description="size of the answer's body")
    scanned_bytes: int = Field(ge=0, description="text that was judged")
    scannable_bytes: int = Field(ge=0, description="text there was")
    parent: str = Field(default="", description="span id of the `traceparent`, where there was one")
    captured: Captured | None = Field(default=None, description="its texts; only where `events.capture` says so")


class Sentence(BaseModel):
    """One sentence of an answer, as the scorer sees it."""

    model_config = ConfigDict(extra="forbid")

    start: int = Field(ge=0, description="its first character in the answer")
    end: int = Field(ge=0, description="… and the one after its last")
    support: float = Field(ge=0, le=1, description="how much of it the evidence has")
    evidence: list[int] | None = Field(description="start and end of the sentence it most goes back to, if any")
    source: int | None = Field(description="… in which of the texts the request marks as evidence, from 0")
    fired: list[str] = Field(description="what speaks against it: `meaning`, `words`, `numbers`, `names`")


class ScoreRecorded(Event):
    """The scorer measured an answer. [gen_ai.evaluation.result]"""

    id: str = Field(description="id of the exchange")
    route: str
    upstream: str
    scores: dict[str, float] = Field(description="value by metric")
    parts: dict[str, list[float]] = Field(description="values per sentence of the answer, for metrics that have them")
    signals: dict[str, float] = Field(description="what the scores were made of; docs/scoring.md")
    sentences: list[Sentence] = Field(description="where each sentence's support comes from; no text")
    scorer: str = Field(description="encoder and heads that measured")
    ms: Ms = Field(ge=0)


class ServerStarted(Event):
    """The gateway listens."""

    version: str
    host: str
    port: int
    workers: int = Field(description="HTTP processes")
    upstreams: list[str]
    routes: list[str]
    policies: dict[str, str] = Field(description="digest by name")


class ServerStopped(Event):
    """The gateway drained and went."""

    reason: str = Field(description="signal or error that stopped it")
    uptime_s: float = Field(ge=0)
    cancelled: int = Field(ge=0, description="exchanges that outlasted the drain")


class WorkerStarted(Event):
    """A worker process answers calls."""

    worker: str = Field(description="`guardrails`, `nemo`, `pii`, `litellm`, `scorer`; `http` takes requests")
    pid: int = Field(description="id of the worker's process")
    generation: int = Field(ge=1, description="how many there have been, this one included")
    seconds: float = Field(ge=0, description="from its start to its first answer")


class WorkerRestarted(WorkerStarted):
    """A worker died, hung or overran a deadline, and another took its place."""

    reason: str = Field(description="what ended the one before")


class WorkerFailed(Event):
    """A worker cannot be started now; rails and upstreams that need it fail as their `on_error` says."""

    worker: str
    reason: str


class ConfigReloaded(Event):
    """A changed set of files was read, found whole, and took over."""

    file: str
    generation: int = Field(ge=1)
    policies: dict[str, str] = Field(description="digest by name")


class ConfigRefused(Event):
    """A changed set of files has problems; the running set stays."""

    file: str
    generation: int = Field(ge=1, description="of the set that stays")
    problems: list[str] = Field(description="`file:line: message`")


class StoreLost(Event):
    """The Redis that gateways share does not answer; keys with limits fare as `on_store_error` says."""

    reason: str


class StoreFound(Event):
    """It answers again."""


CATALOGUE: Mapping[str, type[Event]] = MappingProxyType(
    {
        "exchange.started": ExchangeStarted,
        "exchange.completed": ExchangeCompleted,
        "mirror.started": MirrorStarted,
        "mirror.completed": MirrorCompleted,
        "score.recorded": ScoreRecorded,
        "server.started": ServerStarted,
        "server.stopped": ServerStopped,
        "worker.started": WorkerStarted,
        "worker.restarted": WorkerRestarted,
        "worker.failed": WorkerFailed,
        "upstream.ejected": UpstreamEjected,
        "upstream.returned": UpstreamReturned,
        "config.reloaded": ConfigReloaded,
        "config.refused": ConfigRefused,
        "store.lost": StoreLost,
        "store.found": StoreFound,
        "feedback.received": FeedbackReceived,
        "drift.detected": DriftDetected,
        "drift.cleared": DriftCleared,
        "signal.raised": SignalRaised,
        "signal.cleared": SignalCleared,
        "webhook.failed": WebhookFailed,
        "export.failing": ExportFailing,
        "export.recovered": ExportRecovered,
        "export.dropped": ExportDropped,
    }
)


def schema(name: str) -> dict[str, Any]:
    """JSON Schema (2020-12) of the event called `name`; KeyError if the catalogue does not have it."""
    found = CATALOGUE[name].model_json_schema()
    found["properties"]["event"]["const"] = name
    return found


def check(event: Mapping[str, Any]) -> None:
    """Raise KeyError for a name the catalogue does not have, pydantic's ValidationError for fields it does not."""
    CATALOGUE[event["event"]].model_validate(dict(event))
