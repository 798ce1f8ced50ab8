"""The kinds of rail, one module each, and the one table that names them. A new kind is a file and a line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gateway.policy.rail import Rail, Tools
from gateway.policy.rails import guardrails_ai, leakage, nemo, pattern, pii, schema, score, tools, topics, webhook

RAILS: Mapping[str, Callable[[Any, Tools], Rail]] = {
    "guardrails": guardrails_ai.build,
    "leakage": leakage.build,
    "nemo": nemo.build,
    "pattern": pattern.build,
    "pii": pii.build,
    "schema": schema.build,
    "score": score.build,
    "tools": tools.build,
    "topics": topics.build,
    "webhook": webhook.build,
}
