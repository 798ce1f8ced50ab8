"""OpenTelemetry's GenAI names, by generation, in one place.

`current` is what open-telemetry/semantic-conventions-genai had in October 2026 and instrumentations emit; `legacy` what
stood in v1.36, which tools that know no `gen_ai.provider.name` read; `next` has what is proposed there and not merged:
#521 and #374 for metrics, #427 for guardrails. A name that a generation does not have is absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

OPERATIONS: Mapping[str, str] = MappingProxyType(
    {
        "/chat/completions": "chat",
        "/responses": "chat",
        "/messages": "chat",
        "/completions": "text_completion",
        "/embeddings": "embeddings",
    }
)
"""`gen_ai.operation.name` by endpoint. The others ask no model that generates."""

_ALWAYS = {
    "operation": "gen_ai.operation.name",
    "request_model": "gen_ai.request.model",
    "response_model": "gen_ai.response.model",
    "finish": "gen_ai.response.finish_reasons",
    "input_tokens": "gen_ai.usage.input_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
    "token_type": "gen_ai.token.type",
    "input": "gen_ai.input.messages",
    "output": "gen_ai.output.messages",
    "evaluation": "gen_ai.evaluation.result",
    "evaluation_name": "gen_ai.evaluation.name",
    "evaluation_value": "gen_ai.evaluation.score.value",
    "evaluation_label": "gen_ai.evaluation.score.label",
    "server_duration": "gen_ai.server.request.duration",
    "first_token": "gen_ai.server.time_to_first_token",
    "per_token": "gen_ai.server.time_per_output_token",
}

_CURRENT = {
    **_ALWAYS,
    "provider": "gen_ai.provider.name",
    "stream": "gen_ai.request.stream",
    "first_chunk": "gen_ai.response.time_to_first_chunk",
    "cache_read": "gen_ai.usage.cache_read.input_tokens",
    "cache_write": "gen_ai.usage.cache_write.input_tokens",
    "reasoning": "gen_ai.usage.reasoning.output_tokens",
    "tokens": "gen_ai.client.token.usage",
    "client_duration": "gen_ai.client.operation.duration",
}

_NEXT = {
    **{key: name for key, name in _CURRENT.items() if key != "tokens"},
    "client_duration": "gen_ai.client.inference.duration",
    "input_histogram": "gen_ai.client.inference.operation.input_tokens",
    "output_histogram": "gen_ai.client.inference.operation.output_tokens",
    "guardrail": "gen_ai.guardrail.component.name",
    "guardrail_target": "gen_ai.guardrail.target.type",
    "guardrail_verdict": "gen_ai.guardrail.verdict.type",
    "guardrail_action": "gen_ai.guardrail.action.type",
}

_LEGACY = {
    **_ALWAYS,
    "provider": "gen_ai.system",
    "tokens": "gen_ai.client.token.usage",
    "client_duration": "gen_ai.client.operation.duration",
}

NAMES: Mapping[str, Mapping[str, str]] = MappingProxyType({"current": _CURRENT, "legacy": _LEGACY, "next": _NEXT})

VERDICTS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "allow": ("allow", "allow"),
        "flag": ("warn", "allow"),
        "redact": ("modify", "modify"),
        "block": ("deny", "block"),
    }
)
"""A rail's action as #427 has verdicts and actions."""
