"""The schema of `config/gateway.yaml`, read once into frozen types; nothing else reads YAML or the environment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr

from gateway.config.data import Data
from gateway.config.export import AnyExport
from gateway.config.monitor import Monitor
from gateway.config.policy import Frozen, PolicySpec
from gateway.config.traffic import BreakerSpec, HealthSpec, Load, Pattern, Traffic

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/:-]{0,127}$")]
Positive = Annotated[float, Field(gt=0)]


class Tls(Frozen):
    """A certificate, with those between it and its authority, and its key: files in PEM."""

    certificate: str
    key: str


class Server(Frozen):
    """Where the gateway listens and what it accepts. What is counted is counted by each HTTP process.

    `header_s` and `body_s` are a client's to send a request's head and its body, `write_s` to read what it is sent;
    `leave_s` is between being told to stop, when `/readyz` says so, and closing the door.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    workers: Annotated[int, Field(ge=1, le=256)] = 1
    max_body_mb: Positive = 10.0
    drain_s: Positive = 20.0
    leave_s: Annotated[float, Field(ge=0)] = 0.0
    header_s: Positive = 10.0
    body_s: Positive = 60.0
    write_s: Positive = 60.0
    keep_alive_s: Positive = 75.0
    connections: Annotated[int, Field(ge=16)] = 8192
    in_flight: Annotated[int, Field(ge=1)] = 2048
    lag_ms: Positive = 50.0
    tls: Tls | None = None


class Events(Frozen):
    """Where records go (`-` is standard output) and how much text they may carry."""

    path: str = "-"
    capture: Literal["none", "redacted", "full"] = "none"


Whole = Annotated[int, Field(gt=0, le=2**40)]
Dollars = Annotated[float, Field(gt=0, le=1_000_000)]


class Limits(Frozen):
    """What one key may use. `assumed_output_tokens` are reserved for an answer whose request sets no maximum."""

    requests_per_minute: Whole | None = None
    tokens_per_minute: Whole | None = None
    parallel_requests: Whole | None = None
    usd_per_day: Dollars | None = None
    usd_per_month: Dollars | None = None
    assumed_output_tokens: Whole = 1024


class Key(Frozen):
    """A client's key: only its SHA-256 is kept. `routes` are those it may ask for; left out, all."""

    name: Name
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    policy: str | None = None
    routes: Annotated[tuple[Name, ...], Field(min_length=1)] | None = None
    limits: Limits = Limits()


class Store(Frozen):
    """Where limits are counted, and where answers are kept: this machine's memory, or a Redis that gateways share."""

    kind: Literal["memory", "redis"] = "memory"
    url: SecretStr | None = None
    prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,64}$")] = "tidegate"
    timeout_ms: Annotated[int, Field(gt=0, le=1000)] = 50
    on_store_error: Literal["closed", "open"] = "closed"
    cache_mb: Positive = 64.0


class CacheSpec(Frozen):
    """Answers of a route that are given again to the very same request, for `ttl_s` seconds.

    `scope` says to whom: to the `key` that asked first, or to whoever may use the `route`. `sampled` has answers kept
    that the model may give otherwise next time: those of requests without `temperature: 0`.
    """

    ttl_s: Annotated[float, Field(gt=0, le=2_592_000)]
    scope: Literal["key", "route"] = "key"
    sampled: bool = False


class Price(Frozen):
    """US dollars per million tokens; what is left out comes from litellm's price file."""

    input: Annotated[float, Field(ge=0)] | None = None
    cached: Annotated[float, Field(ge=0)] | None = None
    output: Annotated[float, Field(ge=0)] | None = None
    cache_write: Annotated[float, Field(ge=0)] | None = None
    audio_input: Annotated[float, Field(ge=0)] | None = None
    audio_output: Annotated[float, Field(ge=0)] | None = None
    extra: dict[Annotated[str, Field(pattern=r"^(/[^/]+)+$")], Annotated[float, Field(ge=0)]] = Field(default={})
    """US dollars of one of what a JSON pointer into the answer's `usage` counts: `/server_tool_use/searches`, say."""


class Timeouts(Frozen):
    """Seconds: to connect, to the first byte of an answer, between two chunks, in all."""

    connect_s: Positive = 5.0
    first_byte_s: Positive = 60.0
    idle_s: Positive = 30.0
    total_s: Positive = 600.0


class UpstreamSpec(Frozen):
    """What every upstream takes. `model` is its own name for the model; left out, the client's name is passed on."""

    name: Name
    timeouts: Timeouts = Timeouts()
    load: Load = Load()
    breaker: BreakerSpec = BreakerSpec()
    price: Price = Price()
    gpu_usd_per_hour: Annotated[float, Field(ge=0)] | None = None


class EmbeddedSpec(UpstreamSpec):
    """llama.cpp in a child process: a model by name (`smollm2-135m`) or the path of a GGUF file."""

    kind: Literal["embedded"]
    model: str = "smollm2-135m"
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    context: Annotated[int, Field(ge=256)] = 8192
    parallel: Annotated[int, Field(ge=1)] = 2
    pooling: Literal["mean", "cls", "last"] | None = None  # how /v1/embeddings makes one vector; None: it has none


class OpenAISpec(UpstreamSpec):
    """An OpenAI-compatible server. `base_url` ends where `/chat/completions` begins. Several keys are used in turn."""

    kind: Literal["openai"]
    base_url: Annotated[str, Field(pattern=r"^https?://")]
    api_key: SecretStr | None = None
    api_keys: tuple[SecretStr, ...] = ()
    health: HealthSpec | None = None
    model: str | None = None
    stream_usage: Literal["ask", "leave"] = "ask"  # ask for usage on streams; clients that did not ask never see it


class LiteLLMSpec(UpstreamSpec):
    """Any provider litellm knows, `provider/model`. Several keys are used in turn."""

    kind: Literal["litellm"]
    model: str
    api_key: SecretStr | None = None
    api_keys: tuple[SecretStr, ...] = ()
    base_url: Annotated[str, Field(pattern=r"^https?://")] | None = None


AnyUpstream = Annotated[EmbeddedSpec | OpenAISpec | LiteLLMSpec, Field(discriminator="kind")]


class RouteSpec(Traffic):
    """A model name clients may ask for (`*` stands for any part of one), who answers it, and under which policy."""

    model: Pattern
    policy: str = "default"
    cache: CacheSpec | None = None


class Scoring(Frozen):
    """The scorer: which encoder (`minilm` or a sentence-transformers folder) and what share of exchanges is scored."""

    encoder: str = "minilm"
    sample: Annotated[float, Field(ge=0, le=1)] = 1.0
    deadline_ms: Annotated[int, Field(gt=0)] = 5000
    verifier: str | None = None
    """A folder with a cross-encoder of your own, as transformers writes it, safetensors only."""
    verifier_label: str | None = None  # its label that means supported, where its names do not tell
    ray: Annotated[str, Field(pattern=r"^https?://")] | None = None
    """Where replicas of the scorer answer (`gateway.serve.replicas` on Ray Serve), instead of one on this machine."""
    token: SecretStr | None = None  # that the replicas want


class Panel(Frozen):
    """The page at `/ui`, for whoever has the key of which this is the SHA-256."""

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class GatewayFile(Frozen):
    """`config/gateway.yaml` as written."""

    server: Server = Server()
    policies: str = "../policies"
    events: Events = Events()
    keys: tuple[Key, ...] = ()
    store: Store = Store()
    upstreams: Annotated[tuple[AnyUpstream, ...], Field(min_length=1)]
    routes: Annotated[tuple[RouteSpec, ...], Field(min_length=1)]
    scoring: Scoring | None = Scoring()
    monitor: Monitor | None = None
    export: tuple[AnyExport, ...] = ()
    ui: Panel | None = None
    data: Data | None = None


class Config(Frozen):
    """Everything an operator decided: the gateway file, its policies by name, and where they stand."""

    file: Path
    gateway: GatewayFile
    policies: dict[str, PolicySpec]
    folder: Path  # of the policies; `nemo/…` and `guards/…` in them are relative to it
