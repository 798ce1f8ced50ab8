"""What only one vendor wants to find on spans. LangSmith's run ids are UUIDs, made of ours: feedback finds them.

LangSmith: `langsmith.*` as its SDK writes them where it posts OTLP itself. Langfuse: its property mapping.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from types import MappingProxyType
from uuid import UUID, uuid5

import orjson

from gateway.telemetry.span import Span, Value
from gateway.wire import trace


def marked(kind: str, spans: Sequence[Span], exchange: str) -> list[Span]:
    """The spans of one event of `exchange`, as vendor `kind` wants them; less those it has no use for."""
    return _VENDORS[kind](spans, exchange) if kind in _VENDORS else list(spans)


def run_id(exchange: str) -> UUID:
    """Of the run that LangSmith makes of an exchange; the trace it begins there has the same."""
    return UUID(trace.root(exchange))


def _langsmith(spans: Sequence[Span], exchange: str) -> list[Span]:
    """A tree of runs, whose root is the first span. The scorer's span has no tree to be in: its scores are feedback."""
    if not spans or _kind(spans[0]) == "EVALUATOR":
        return []
    root, top = run_id(exchange), spans[0]
    order = _dotted(top, root)
    first = _with(top, {**_run(top, root, root), "langsmith.span.dotted_order": order})
    return [first, *(_child(span, root, order) for span in spans[1:])]


def _child(span: Span, root: UUID, order: str) -> Span:
    own = uuid5(root, span.id)
    place = {"langsmith.span.parent_id": str(root), "langsmith.span.dotted_order": f"{order}.{_dotted(span, own)}"}
    return _with(span, {**_run(span, root, own), **place})


def _run(span: Span, root: UUID, own: UUID) -> dict[str, Value]:
    kind = {"LLM": "llm", "EMBEDDING": "embedding"}.get(_kind(span), "chain")
    return {"langsmith.trace.id": str(root), "langsmith.span.id": str(own), "langsmith.span.kind": kind}


def _dotted(span: Span, own: UUID) -> str:
    return datetime.fromtimestamp(span.start / 1e9, UTC).strftime("%Y%m%dT%H%M%S%fZ") + str(own)


_TYPES = {"LLM": "generation", "EMBEDDING": "embedding", "GUARDRAIL": "guardrail", "EVALUATOR": "evaluator"}


def _langfuse(spans: Sequence[Span], exchange: str) -> list[Span]:  # noqa: ARG001 - as the table has them
    return [_with(span, _observation(span)) for span in spans]


def _observation(span: Span) -> dict[str, Value]:
    kind, cost = _TYPES.get(_kind(span), "span"), span.attributes.get("tidegate.cost.usd")
    said: dict[str, Value] = {"langfuse.observation.type": kind}
    if kind == "generation" and cost is not None:
        said["langfuse.observation.cost_details"] = orjson.dumps({"total": cost}).decode()
    return said


_VENDORS: Mapping[str, Callable[[Sequence[Span], str], list[Span]]] = MappingProxyType(
    {"langsmith": _langsmith, "langfuse": _langfuse}
)


def _kind(span: Span) -> str:
    return str(span.attributes.get("openinference.span.kind", ""))


def _with(span: Span, more: Mapping[str, Value]) -> Span:
    return replace(span, attributes={**span.attributes, **more})
