"""From configured destinations to what the worker is told: endpoints and headers as the vendors document them."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from gateway import __version__
from gateway.config.export import Langfuse, LangSmith, MLflow, Otlp, OverHttp, Phoenix, Weave, named
from gateway.config.schema import AnyUpstream

Told = dict[str, Any]

PROVIDERS: Mapping[str, str] = MappingProxyType(
    {
        "api.openai.com": "openai",
        "api.anthropic.com": "anthropic",
        "api.cohere.com": "cohere",
        "api.deepseek.com": "deepseek",
        "api.groq.com": "groq",
        "api.mistral.ai": "mistral_ai",
        "api.moonshot.ai": "moonshot_ai",
        "api.perplexity.ai": "perplexity",
        "api.x.ai": "x_ai",
        "generativelanguage.googleapis.com": "gcp.gemini",
        "openai.azure.com": "azure.ai.openai",
        "amazonaws.com": "aws.bedrock",
    }
)
"""OpenTelemetry's `gen_ai.provider.name` by the end of a host's name."""

LITELLM: Mapping[str, str] = MappingProxyType(
    {
        "azure": "azure.ai.openai",
        "bedrock": "aws.bedrock",
        "gemini": "gcp.gemini",
        "mistral": "mistral_ai",
        "moonshot": "moonshot_ai",
        "vertex_ai": "gcp.vertex_ai",
        "watsonx": "ibm.watsonx.ai",
        "xai": "x_ai",
    }
)
"""… by litellm's prefix, where the two differ."""


def told(export: OverHttp, upstreams: Mapping[str, AnyUpstream]) -> Told:
    """Fields of `Destination` but for `events` and `state`."""
    urls, headers, resource, extra = _VENDORS[type(export)](export)
    return {
        **export.model_dump(include={"semconv", "content", "sample", "batch", *_SECONDS}),
        "name": named(export),  # type: ignore[arg-type]  # one of the kinds, as the table above has them
        "kind": export.kind,  # type: ignore[attr-defined]  # each of the kinds has one
        "urls": {signal: urls[signal] for signal in export.signals},  # type: ignore[attr-defined]  # as above
        "headers": headers,
        "resource": {"service.name": export.service, "service.version": __version__, **resource, **export.resource},
        "extra": extra,
        "gzip": export.compression == "gzip",
        "behind": int(export.behind_mb * 1024 * 1024),
        "upstreams": {name: answerer(spec) for name, spec in upstreams.items()},
    }


_SECONDS = ("keep_s", "look_s", "deadline_s", "wait_s", "metrics_s")


def answerer(spec: AnyUpstream) -> Told:
    """Fields of `Answerer`."""
    match spec.kind:
        case "embedded":
            return {"provider": "llama.cpp"}
        case "litellm":
            prefix = spec.model.partition("/")[0]
            return {"provider": LITELLM.get(prefix, prefix)}
        case "openai":
            parts = urlsplit(spec.base_url)
            host = parts.hostname or ""
            known = (name for end, name in PROVIDERS.items() if host == end or host.endswith(f".{end}"))
            port = parts.port or (443 if parts.scheme == "https" else 80)
            return {"provider": next(known, "openai"), "address": host, "port": port}


Parts = tuple[dict[str, str], dict[str, str], dict[str, str], dict[str, str]]
"""Urls by signal, headers, resource, extra."""


def _otlp(export: Otlp) -> Parts:
    urls = {signal: f"{_base(export.endpoint)}/v1/{signal}" for signal in ("traces", "metrics", "logs")}
    return urls, {name: _open(value) for name, value in export.headers.items()}, {}, {}


def _langsmith(export: LangSmith) -> Parts:
    base = _base(export.endpoint)
    headers = {"x-api-key": _open(export.api_key)}
    if export.project:
        headers["Langsmith-Project"] = export.project
    extra = {"session_id": str(export.session_id)} if export.session_id else {}
    return {"traces": f"{base}/otel/v1/traces", "scores": f"{base}/feedback"}, headers, {}, extra


def _langfuse(export: Langfuse) -> Parts:
    base = f"{_base(export.endpoint)}/api/public"
    pair = f"{_open(export.public_key)}:{_open(export.secret_key)}"
    headers = {"authorization": f"Basic {_base64(pair)}", "x-langfuse-ingestion-version": "4"}
    return {"traces": f"{base}/otel/v1/traces", "scores": f"{base}/scores"}, headers, {}, {}


def _phoenix(export: Phoenix) -> Parts:
    base = f"{_base(export.endpoint)}/v1"
    headers = {"authorization": f"Bearer {_open(export.api_key)}"} if export.api_key else {}
    urls = {"traces": f"{base}/traces", "scores": f"{base}/span_annotations?sync=true"}
    return urls, headers, {"openinference.project.name": export.project}, {}


def _mlflow(export: MLflow) -> Parts:
    base = _base(export.endpoint)
    headers = {"x-mlflow-experiment-id": export.experiment_id}
    if export.token:
        headers["authorization"] = f"Bearer {_open(export.token)}"
    return {"traces": f"{base}/v1/traces", "scores": f"{base}/api/3.0/mlflow/traces"}, headers, {}, {}


def _weave(export: Weave) -> Parts:
    resource = {"wandb.entity": export.entity, "wandb.project": export.project}
    headers = {"wandb-api-key": _open(export.api_key)}
    return {"traces": f"{_base(export.endpoint)}/otel/v1/traces"}, headers, resource, {}


_VENDORS: Mapping[type[OverHttp], Callable[[Any], Parts]] = MappingProxyType(
    {Otlp: _otlp, LangSmith: _langsmith, Langfuse: _langfuse, Phoenix: _phoenix, MLflow: _mlflow, Weave: _weave}
)


def _base(url: str) -> str:
    return url.rstrip("/")


def _open(secret: SecretStr) -> str:
    return secret.get_secret_value()


def _base64(said: str) -> str:
    return b64encode(said.encode()).decode()
