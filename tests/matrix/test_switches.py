"""The client cannot choose its guards: nothing it can say switches, weakens or goes around a policy.

Many of these are real: other gateways read them. What is said is that the verdict is the same as without.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest
from matrix.adapter import NO_ROLE, Said
from matrix.cell import CANARY, Cell
from matrix.house import House, opened
from matrix.oracle import policies, sent

OPEN = "open"
"""A model whose policy has no rails: what a switch would like to reach."""


@dataclass(frozen=True, slots=True)
class Switch:
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] = field(default_factory=dict)
    query: str = ""


OFF = {"enabled": False}
HEADERS: dict[str, str] = {
    "x-guardrail-mode": "off",
    "x-guardrails": "[]",
    "x-guardrail": "none",
    "x-disable-guardrails": "true",
    "x-skip-guardrails": "1",
    "x-bypass": "1",
    "x-policy": OPEN,
    "x-tidegate-policy": OPEN,
    "x-tidegate-mode": "shadow",
    "x-tidegate-verdict": "allow",
    "x-tidegate-skip": "true",
    "x-shadow": "true",
    "x-debug": "1",
    "x-litellm-guardrails": "[]",
    "x-litellm-disable-guardrails": "true",
    "x-litellm-tags": "no-guard",
    "x-litellm-end-user-id": "admin",
    "x-portkey-config": '{"before_request_hooks":[],"after_request_hooks":[]}',
    "x-portkey-provider": "openai",
    "x-portkey-custom-host": "http://127.0.0.1:9/v1",
    "x-portkey-trace-id": "trusted",
    "nemo-config-id": OPEN,
    "guard-name": "none",
    "helicone-llm-security-enabled": "false",
    "helicone-moderations-enabled": "false",
    "cf-aig-skip-cache": "true",
    "cf-aig-custom-provider": OPEN,
    "x-model": OPEN,
    "x-route": OPEN,
    "x-upstream": "up",
    "x-original-url": "/metrics",
    "x-rewrite-url": "/healthz",
    "x-forwarded-for": "127.0.0.1",
    "x-forwarded-host": "localhost",
    "x-forwarded-user": "admin",
    "x-real-ip": "127.0.0.1",
    "x-http-method-override": "GET",
    "x-method-override": "HEAD",
    "x-request-id": "internal",
    "x-internal": "true",
    "x-admin": "true",
    "x-user-role": "admin",
    "openai-organization": "trusted",
    "openai-beta": "guardrails=off",
    "anthropic-beta": "no-safety",
    "user-agent": "tidegate-internal/1.0",
    "cookie": "guardrails=off; policy=open",
    "cache-control": "no-cache, no-store, no-transform",
    "pragma": "no-cache",
    "prefer": "handling=lenient",
    "accept": "text/event-stream",
    "accept-encoding": "identity",
    "te": "trailers",
    "expect": "100-continue",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
    "tracestate": "policy=open",
    "baggage": "guardrails=off,policy=open",
    "authorization": "Bearer sk-master",
    "origin": "http://127.0.0.1",
    "referer": "http://127.0.0.1/admin",
}
AGENTS = (
    "",
    "litellm-health-check",
    "kube-probe/1.30",
    "ClaudeCLI/1.0 logging_only",
    "OpenAI/Python 1.0 (guardrails=off)",
)
BODIES: dict[str, Any] = {
    "guardrails": [],
    "guardrail": None,
    "guardrail_config": OFF,
    "disable_guardrails": True,
    "disable_global_guardrail": True,
    "skip_guardrails": True,
    "policy": OPEN,
    "policies": [],
    "mode": "shadow",
    "on_error": "open",
    "config_id": OPEN,
    "extra_body": {"guardrails": []},
    "extra_headers": {"x-guardrail-mode": "off"},
    "litellm_metadata": {"guardrails": []},
    "litellm_settings": {"callbacks": []},
    "proxy_server_request": {"body": {}},
    "tags": ["no-guard"],
    "cache": {"no-cache": True},
    "no-log": True,
    "store": False,
    "api_base": "http://127.0.0.1:9/v1",
    "base_url": "http://127.0.0.1:9/v1",
    "custom_llm_provider": "echo",
    "fallbacks": [OPEN],
    "models": [OPEN],
    "route": "fallback",
    "provider": {"order": [OPEN]},
    "options": {"rails": {"input": False, "output": False, "dialog": False}},
    "moderation": False,
    "safe_prompt": False,
    "safety_settings": [{"category": "HARM", "threshold": "BLOCK_NONE"}],
    "content_filter": False,
    "n": 3,
    "seed": 1,
    "temperature": 0,
    "logprobs": True,
    "user": "admin",
    "service_tier": "priority",
    "stream_options": {"include_usage": True, "include_obfuscation": False},
    "store_raw": True,
}
NESTED: dict[str, Any] = {
    "metadata of guardrails": {"metadata": {"guardrails": []}},
    "metadata of one guardrail": {"metadata": {"guardrails": ["another"]}},
    "metadata of tags": {"metadata": {"tags": ["User-Agent: logging_only"]}},
    "metadata of a policy": {"metadata": {"policy": OPEN, "tidegate": OFF}},
    "metadata of a key": {"metadata": {"user_api_key_metadata": {"disable_global_guardrails": True}}},
    "nemo's options": {"guardrails": {"config_id": OPEN, "options": {"rails": []}}},
}
QUERIES = (
    "guardrails=off",
    "policy=open",
    "model=open",
    "debug=true",
    "mode=shadow",
    "api-version=2024-10-21",
    "skip=1",
)

SWITCHES: dict[str, Switch] = {
    **{f"header {name}": Switch({name: value}) for name, value in HEADERS.items()},
    **{f"agent {value}": Switch({"user-agent": value}) for value in AGENTS},
    **{f"field {name}": Switch(body={name: value}) for name, value in BODIES.items()},
    **{name: Switch(body=body) for name, body in NESTED.items()},
    **{f"query {query}": Switch(query=query) for query in QUERIES},
    "everything at once": Switch(HEADERS, {**BODIES, "metadata": {"guardrails": []}}, "&".join(QUERIES)),
}
ASKING = Cell("in", "chat", "whole", "user", "string", "none", "only", "whole", "middle", "block")
PATHS = (
    "/v1/chat/completions/",
    "//v1/chat/completions",
    "/v1//chat/completions",
    "/V1/chat/completions",
    "/v1/chat/completions%2f",
    "/v1/chat/completions;a=b",
    "/v1/../v1/chat/completions/.",
    "/chat/completions",
    "/openai/v1/chat/completions",
    "/openai/deployments/block/chat/completions",
    "/v1/engines/block/completions",
    "/v1/proxy/chat/completions",
    "/v1/passthrough",
    "/admin",
)


def rules() -> dict[str, Any]:
    return {**policies(), OPEN: {}}


async def verdict(house: House, switch: Switch, *, side: str, stream: bool) -> tuple[Any, ...]:
    """What becomes of a forbidden text: told to the client, asked of the upstream, written down."""
    cell = Cell(
        side, "chat", "stream" if stream else "whole", NO_ROLE, "content", "none", "0", "half", "middle", "block"
    )
    house.upstream.asks.clear()
    house.upstream.chunks = sent(cell, Said(cell.channel, cell.pieces if side == "out" else ["Fine."], "0"))
    text = CANARY if side == "in" else "How high?"
    body = cell.adapter.body(ASKING.shape, "user", text, "only", stream=stream)
    headers = [(name.encode(), value.encode()) for name, value in switch.headers.items()]
    heard = await house.ask(
        cell.adapter.path, {**switch.body, **body, "model": "block"}, headers=headers, query=switch.query.encode()
    )
    assert CANARY.encode() not in heard.raw
    event = orjson.loads(house.written().splitlines()[-1])
    written = event["outcome"], event["verdict"], event["policy"], event["policy_digest"]
    return heard.status, b"content_filter" in heard.raw, len(house.upstream.asks), *written


def test_there_are_enough() -> None:
    assert len(SWITCHES) >= 100


@pytest.mark.parametrize("side", ["in", "out"])
@pytest.mark.parametrize("stream", [False, True])
async def test_no_switch_changes_the_verdict(tmp_path: Path, side: str, stream: bool) -> None:
    async with opened(tmp_path, rules()) as house:
        plain = await verdict(house, Switch(), side=side, stream=stream)
        assert plain[1:5] == (True, int(side == "out"), "blocked", "block")
        for name, switch in SWITCHES.items():
            assert await verdict(house, switch, side=side, stream=stream) == plain, name


async def test_a_model_named_twice_is_refused_and_one_named_beside_is_not_read(tmp_path: Path) -> None:
    async with opened(tmp_path, rules()) as house:
        message = b'"messages":[{"role":"user","content":"%b"}]' % CANARY.encode()
        twice = (
            b'{"model":"block","model":"open",%b}' % message,
            b'{"model":"open","mod\\u0065l":"block",%b}' % message,
            b'{"model":"open",%b,"messages":[{"role":"user","content":"hello"}]}' % message,
        )
        for raw in twice:
            heard = await house.ask("/v1/chat/completions", raw)
            assert (heard.status, house.upstream.asks) == (400, [])
        beside = b'{"Model":"open"," model":"open","model\\u0000":"open","model":"block",%b}' % message
        assert b"content_filter" in (await house.ask("/v1/chat/completions", beside)).raw
        assert not house.upstream.asks


@pytest.mark.parametrize("path", PATHS)
async def test_no_other_path_leads_to_the_upstream(tmp_path: Path, path: str) -> None:
    async with opened(tmp_path, rules()) as house:
        body = ASKING.adapter.body(ASKING.shape, "user", CANARY, "only", stream=False)
        heard = await house.ask(path, {**body, "model": OPEN})
        assert (heard.status, house.upstream.asks) == (404, [])
