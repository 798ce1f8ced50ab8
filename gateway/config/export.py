"""The schema of `export:` in `config/gateway.yaml`: where spans, metrics, logs and scores of exchanges are sent."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, SecretStr

from gateway.config.policy import Frozen

Url = Annotated[str, Field(pattern=r"^https?://")]
Text = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\r\n]*$")]
Header = Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$")]
Seconds = Annotated[float, Field(gt=0)]


def _line(secret: SecretStr) -> SecretStr:
    said = secret.get_secret_value()
    if not (said and said.isascii() and said.isprintable()):
        raise ValueError("should be one line of ASCII characters, as headers have them")
    return secret


Secret = Annotated[SecretStr, AfterValidator(_line)]
Signal = Literal["traces", "metrics", "logs", "scores"]
Convention = Literal["current", "legacy", "next"]


class Destination(Frozen):
    """What every destination takes. `name` is shown in metrics and events, and names its place in the log.

    `semconv` says which generation of OpenTelemetry's GenAI names is written; `content` has texts sent that
    `events.capture` put into the event, and nothing else does. `sample` is the share of traces that is sent, chosen by
    trace id. What could not be sent within `keep_s`, or is further behind than `behind_mb` of the log, is let go and
    counted. `state` is a folder.
    """

    name: Annotated[str, Field(pattern=r"^([a-z0-9][a-z0-9._-]{0,63})?$")] = ""
    state: str = "../var/export"
    keep_s: Annotated[float, Field(ge=1)] = 3600.0
    behind_mb: Annotated[float, Field(gt=0)] = 256.0
    look_s: Seconds = 1.0


class OverHttp(Destination):
    """A destination that is posted to. `batch` is events a request."""

    semconv: Convention = "current"
    content: bool = False
    sample: Annotated[float, Field(ge=0, le=1)] = 1.0
    service: Text = "tidegate"
    resource: dict[Text, Text] = Field(default={})
    compression: Literal["gzip", "none"] = "gzip"
    batch: Annotated[int, Field(ge=1, le=4096)] = 256
    deadline_s: Seconds = 10.0
    wait_s: Seconds = 1.0
    metrics_s: Seconds = 60.0


class Otlp(OverHttp):
    """Any OTLP/HTTP collector. `endpoint` ends where `/v1/traces` begins."""

    kind: Literal["otlp"]
    endpoint: Url = "http://127.0.0.1:4318"
    headers: dict[Header, Secret] = Field(default={})
    signals: tuple[Literal["traces", "metrics", "logs"], ...] = ("traces", "metrics", "logs")


class LangSmith(OverHttp):
    """LangSmith: spans, and scores as feedback. `session_id` is the project's UUID."""

    kind: Literal["langsmith"]
    api_key: Secret
    project: Text | None = None
    session_id: UUID | None = Field(default=None, strict=False)
    endpoint: Url = "https://api.smith.langchain.com"
    signals: tuple[Literal["traces", "scores"], ...] = ("traces", "scores")


class Langfuse(OverHttp):
    """Langfuse: spans, and scores."""

    kind: Literal["langfuse"]
    public_key: Secret
    secret_key: Secret
    endpoint: Url = "https://cloud.langfuse.com"
    signals: tuple[Literal["traces", "scores"], ...] = ("traces", "scores")


class Phoenix(OverHttp):
    """Arize Phoenix: spans, and scores as annotations of spans."""

    kind: Literal["phoenix"]
    endpoint: Url = "http://127.0.0.1:6006"
    project: Text = "default"
    api_key: Secret | None = None
    signals: tuple[Literal["traces", "scores"], ...] = ("traces", "scores")


class MLflow(OverHttp):
    """MLflow's tracking server: spans, and scores as assessments of traces."""

    kind: Literal["mlflow"]
    endpoint: Url = "http://127.0.0.1:5000"
    experiment_id: Text = "0"
    token: Secret | None = None
    signals: tuple[Literal["traces", "scores"], ...] = ("traces", "scores")


class Weave(OverHttp):
    """Weights & Biases Weave: spans."""

    kind: Literal["weave"]
    api_key: Secret
    entity: Text
    project: Text
    endpoint: Url = "https://trace.wandb.ai"
    signals: tuple[Literal["traces"], ...] = ("traces",)


class Wandb(Destination):
    """A run of Weights & Biases: quality, cost, latency and drift, a row for every `window_s`. `dir` is its folder."""

    kind: Literal["wandb"]
    project: Text
    entity: Text | None = None
    mode: Literal["offline", "online"] = "offline"
    api_key: Secret | None = None
    dir: str = "../var/wandb"
    window_s: Seconds = 300.0


AnyExport = Annotated[
    Otlp | LangSmith | Langfuse | Phoenix | MLflow | Weave | Wandb,
    Field(discriminator="kind"),
]


def named(export: AnyExport) -> str:
    """What a destination is called: its kind, unless it has a name of its own."""
    return export.name or export.kind
