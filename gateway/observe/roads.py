"""Events of routing: what becomes of upstreams, and of requests that are mirrored."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gateway.observe.event import Event, Ms, Spent


class MirrorStarted(Event):
    """A request is asked of another upstream too, as the policy let it pass. Nobody hears the answer."""

    id: str = Field(description="id of the shadow; its answer is scored under it")
    of: str = Field(description="id of the exchange it is the shadow of")
    trace: str = Field(description="trace id of the W3C `traceparent`, or empty")
    principal: str = Field(description="name of the client's key")
    endpoint: str
    model: str = Field(description="model as asked for")
    route: str
    upstream: str = Field(description="upstream that is asked beside")
    policy: str
    policy_digest: str
    stream: bool


class MirrorCompleted(MirrorStarted, Spent):
    """What one shadow left behind. Its cost is the operator's: no key is charged with it."""

    outcome: Literal["completed", "failed", "cancelled"] = Field(description="`cancelled` where the gateway stopped")
    status: int = Field(description="HTTP status of the upstream")
    error: str = Field(description="code of the error that ended it, or empty")
    answered_model: str
    finish: str
    connect_ms: Ms | None = Field(description="from sending the request to the answer, of a stream to its first byte")
    total_ms: Ms | None


class UpstreamEjected(Event):
    """An upstream is left alone. Each HTTP process sees for itself."""

    upstream: str
    reason: Literal["failures", "share", "probe", "health"] = Field(
        description="failures in a row, a share of many, a probe that failed, health checks"
    )
    times: int = Field(ge=1, description="how often since it was steadily well, this time included")
    rest_s: float | None = Field(description="when it will be probed; null where its health checks decide")


class UpstreamReturned(Event):
    """An upstream is asked again."""

    upstream: str
    how: Literal["probe", "health"] = Field(description="a request it answered, or its health checks")
    away_s: float = Field(ge=0)
