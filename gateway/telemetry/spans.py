"""From events to spans: one of the exchange, one of what upstreams were asked, one a rail, one of the scorer.

An event has durations and the moment it was written. Where a span begins is computed from those: an exchange ends when
its event was written; upstreams are asked when the request was judged; rails of a request begin with the exchange, of
an answer with its end, or its first text. Durations are as measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.telemetry.destination import Answerer
from gateway.telemetry.names import NAMES, OPERATIONS, VERDICTS
from gateway.telemetry.span import CLIENT, INTERNAL, SERVER, Happening, Span, Value, instant, nanoseconds, present
from gateway.wire import trace

Event = Mapping[str, Any]

_UNASKED = Answerer("")


@dataclass(frozen=True, slots=True)
class Spans:
    """`content` has texts in them that are in the event."""

    upstreams: Mapping[str, Answerer]
    semconv: str = "current"
    content: bool = False

    def of(self, event: Event, of: str = "") -> list[Span]:
        """The spans that `event` speaks of; `of` is the id of its trace, where that does not stand in it."""
        match event["event"]:
            case "exchange.completed":
                return list(self._exchange(event, Times.of(event)))
            case "mirror.completed":
                return [self._mirror(event)]
            case "score.recorded":
                return [self._scored(event, of)]
            case _:
                return []

    def _exchange(self, event: Event, times: Times) -> Iterator[Span]:
        of, ident = event["trace"] or trace.root(event["id"]), event["id"]
        server = trace.server_span(ident)
        yield Span(
            of,
            server,
            event.get("parent", ""),
            f"POST /v1{event['endpoint']}",
            SERVER,
            times.start,
            times.end,
            _server(event),
            event["error"] if event["status"] >= 500 or event["outcome"] == "failed" else "",
        )
        if event["tried"]:
            yield self._asked(event, times, of, server)
        for n, judgement in enumerate(event["judgements"]):
            start, end = times.rail(judgement)
            attributes = _rail(judgement, NAMES[self.semconv])
            name, own = f"run_guardrail {judgement['rail']}", trace.other_span(ident, f"rail {n}")
            yield Span(of, own, server, name, INTERNAL, start, end, attributes, judgement["fault"])

    def _asked(self, event: Event, times: Times, of: str, server: str) -> Span:
        ident, name = event["id"], f"{_operation(event)} {event['model']}".strip()
        failed = event["error"] if event["outcome"] == "failed" else ""
        attributes = {**self._model(event), "tidegate.upstreams.tried": event["tried"]}
        own = trace.client_span(ident)
        return Span(of, own, server, name, CLIENT, times.sent, times.answered, attributes, failed)

    def _mirror(self, event: Event) -> Span:
        end = instant(event["ts"])
        start, of = end - nanoseconds(event["total_ms"]), event["trace"] or trace.root(event["of"])
        attributes = {**self._model(event), "tidegate.mirror.of": event["of"]}
        own, parent = trace.other_span(event["id"], "mirror"), trace.server_span(event["of"])
        name = f"{_operation(event)} {event['model']}".strip()
        failed = event["error"] if event["outcome"] == "failed" else ""
        return Span(of, own, parent, name, CLIENT, start, end, attributes, failed)

    def _model(self, event: Event) -> dict[str, Value]:
        """What GenAI conventions have of a call, and what it cost."""
        names, who = NAMES[self.semconv], self.upstreams.get(event["upstream"], _UNASKED)
        known: dict[str, Value | None] = {
            "operation": _operation(event),
            "provider": who.provider or event["upstream"],
            "request_model": event["model"],
            "response_model": event["answered_model"],
            "finish": [event["finish"]] if event["finish"] else None,
            "stream": event["stream"],
            "first_chunk": event["connect_ms"] / 1000 if event["stream"] and event["connect_ms"] is not None else None,
            "input_tokens": event["input_tokens"],
            "output_tokens": event["output_tokens"],
            "cache_read": event["cached_tokens"] or None,
            "cache_write": event["cache_write_tokens"] or None,
            "reasoning": event["reasoning_tokens"] or None,
            **self._texts(event),
        }
        told = {names[key]: value for key, value in known.items() if key in names}
        kind = "EMBEDDING" if event["endpoint"] == "/embeddings" else "LLM"
        return present({**told, "openinference.span.kind": kind, **_where(event, who), **_spent(event)})

    def _texts(self, event: Event) -> dict[str, str]:
        captured = event.get("captured")
        if not (self.content and captured):
            return {}
        return {side: _messages(captured[side], side) for side in ("input", "output") if captured[side]}

    def _scored(self, event: Event, of: str) -> Span:
        end, ident = instant(event["ts"]), event["id"]
        names = NAMES[self.semconv]
        happenings = tuple(
            Happening(
                names["evaluation"], end, {names["evaluation_name"]: metric, names["evaluation_value"]: float(value)}
            )
            for metric, value in event["scores"].items()
        )
        attributes = {
            "openinference.span.kind": "EVALUATOR",
            "tidegate.exchange.id": ident,
            "tidegate.scorer": event["scorer"],
            **{f"tidegate.score.{metric}": float(value) for metric, value in event["scores"].items()},
        }
        return Span(
            of or trace.root(ident),
            trace.other_span(ident, "score"),
            trace.server_span(ident),
            "evaluate answer",
            INTERNAL,
            end - nanoseconds(event["ms"]),
            end,
            attributes,
            happenings=happenings,
        )


@dataclass(frozen=True, slots=True)
class Times:
    """Moments of one exchange. `sent` and `answered` are of upstreams, `first` of the first text to the client."""

    start: int
    sent: int
    first: int
    answered: int
    end: int

    @classmethod
    def of(cls, event: Event) -> Times:
        end = instant(event["ts"])
        start = end - nanoseconds(event["total_ms"])
        judged = 0 if event["overlap"] else nanoseconds(event["input_rails_ms"])
        sent = min(end, start + judged)
        took = nanoseconds(event["upstream_ms"])
        answered = end if event["stream"] else min(end, sent + took)
        first = start + nanoseconds(event["first_token_ms"]) if event["first_token_ms"] is not None else answered
        return cls(start, sent, min(end, max(start, first)), answered, end)

    def rail(self, judgement: Mapping[str, Any]) -> tuple[int, int]:
        took = nanoseconds(judgement["ms"])
        if judgement["stage"] == "input":
            return self.start, self.start + took
        start = min(self.answered, self.first)
        return start, start + took


def _operation(event: Event) -> str:
    return OPERATIONS.get(event["endpoint"], event["endpoint"].strip("/").replace("/", "_"))


def _server(event: Event) -> dict[str, Value]:
    return present(
        {
            "openinference.span.kind": "CHAIN",
            "http.request.method": "POST",
            "http.route": f"/v1{event['endpoint']}",
            "url.path": f"/v1{event['endpoint']}",
            "http.response.status_code": event["status"],
            "http.request.body.size": event["received_bytes"],
            "http.response.body.size": event["sent_bytes"],
            "error.type": event["error"],
            "user.id": event["principal"],
            "tidegate.exchange.id": event["id"],
            "tidegate.outcome": event["outcome"],
            "tidegate.verdict": event["verdict"],
            "tidegate.route": event["route"],
            "tidegate.arm": event["arm"],
            "tidegate.policy": event["policy"],
            "tidegate.policy.digest": event["policy_digest"],
            "tidegate.cached": event.get("cached", False),
            "tidegate.cost.usd": event["cost_usd"],
            "tidegate.overhead.ms": event["overhead_ms"],
        }
    )


def _where(event: Event, who: Answerer) -> dict[str, Value | None]:
    return {
        "server.address": who.address,
        "server.port": who.port or None,
        "error.type": event["error"],
        "tidegate.upstream": event["upstream"],
    }


def _spent(event: Event) -> dict[str, Value | None]:
    kinds = ("input", "cached", "output", "reasoning", "cache_write", "audio", "extra", "gpu")
    parts = {f"tidegate.cost.{kind}.usd": event[f"{kind}_usd"] or None for kind in kinds}
    return {
        **parts,
        "tidegate.cost.usd": event["cost_usd"],
        "tidegate.cost.source": event["price"],
        "tidegate.usage.estimated": event["estimated_tokens"] or None,
        "llm.cost.total": event["cost_usd"],
    }


def _rail(judgement: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Value]:
    verdict, action = VERDICTS[judgement["action"]]
    proposed = {
        "guardrail": judgement["rail"],
        "guardrail_target": judgement["stage"],
        "guardrail_verdict": verdict,
        "guardrail_action": action if judgement["enforced"] else "allow",
    }
    return present(
        {
            "openinference.span.kind": "GUARDRAIL",
            **{f"tidegate.rail.{key}": judgement[key] for key in ("stage", "action", "rules", "count", "fault")},
            "tidegate.rail.name": judgement["rail"],
            "tidegate.rail.enforced": judgement["enforced"],
            "tidegate.rail.remembered": judgement["remembered"],
            "error.type": judgement["fault"],
            **{names[key]: value for key, value in proposed.items() if key in names},
        }
    )


def _messages(said: list[Mapping[str, Any]], side: str) -> str:
    """As the conventions have messages: a JSON string of roles and parts."""
    role = "assistant" if side == "output" else "user"
    messages = [
        {
            "role": one["role"] or role,
            "parts": [{"type": "reasoning" if one["channel"] == "reasoning" else "text", "content": one["text"]}],
        }
        for one in said
    ]
    return orjson.dumps(messages).decode()
