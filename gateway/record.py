"""From an `Exchange` to the fields of its two events (`gateway.observe.events`): the intent and the outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.exchange import Captured, Exchange, Judgement


def started(exchange: Exchange) -> dict[str, Any]:
    """Fields of `exchange.started`: all that is known before an upstream is asked."""
    return {
        "id": exchange.id,
        "trace": exchange.trace,
        "principal": exchange.principal,
        "endpoint": exchange.endpoint,
        "model": exchange.model,
        "route": exchange.route,
        "arm": exchange.arm,
        "policy": exchange.policy,
        "policy_digest": exchange.digest,
        "stream": exchange.stream,
        "received_bytes": exchange.received,
    }


def completed(exchange: Exchange) -> dict[str, Any]:
    """Fields of `exchange.completed`. May be asked for at any moment; what has not come yet is null or 0."""
    return {
        **started(exchange),
        "outcome": exchange.outcome,
        "status": exchange.status,
        "error": exchange.error,
        "verdict": exchange.verdict,
        "overlap": exchange.overlap,
        "cached": exchange.cached,
        "judgements": [_judgement(j) for j in exchange.judgements],
        "upstream": exchange.upstream,
        "tried": list(exchange.tried),
        "answered_model": exchange.answered,
        "finish": exchange.finish,
        **_spent(exchange),
        **_timings(exchange),
        "sent_bytes": exchange.sent,
        "scanned_bytes": exchange.scanned,
        "scannable_bytes": exchange.scannable,
        **({"parent": exchange.parent} if exchange.parent else {}),
        **({"captured": _captured(exchange.captured)} if exchange.captured else {}),
    }


METRICS = (
    "relevance",
    "groundedness",
    "hallucination",
    "verified",
    "consistency",
    "confidence",
    "toxicity",
    "injection",
    "novelty",
    "attack",
)
"""What the scorer may say of an exchange, in [0, 1]."""


def scored(said: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of `score.recorded`, but for the exchange's, from what the scorer `said` of one answer."""
    values = {metric: said[metric] for metric in METRICS if said.get(metric) is not None}
    sentences = said["sentences"]
    return {
        "scores": values,
        "parts": {
            metric: [s[part] for s in sentences]
            for metric, part in (("groundedness", "support"), ("verified", "verified"))
            if metric in values
        },
        "signals": dict(said.get("signals", {})),
        "sentences": [_sentence(sentence) for sentence in sentences],
        "scorer": said.get("scorer", "minilm"),
    }


def _sentence(said: Mapping[str, Any]) -> dict[str, Any]:
    span = {"start": said["start"], "end": said["end"], "support": said["support"]}
    return {**span, "evidence": said["evidence"], "source": said["source"], "fired": list(said.get("fired", ()))}


def mirroring(exchange: Exchange, of: str) -> dict[str, Any]:
    """Fields of `mirror.started`. `of` is the exchange it is the shadow of."""
    return {
        "id": exchange.id,
        "of": of,
        "trace": exchange.trace,
        "principal": exchange.principal,
        "endpoint": exchange.endpoint,
        "model": exchange.model,
        "route": exchange.route,
        "upstream": exchange.upstream,
        "policy": exchange.policy,
        "policy_digest": exchange.digest,
        "stream": exchange.stream,
    }


def mirrored(exchange: Exchange, of: str) -> dict[str, Any]:
    """Fields of `mirror.completed`."""
    timing = exchange.timing
    return {
        **mirroring(exchange, of),
        "outcome": exchange.outcome,
        "status": exchange.status,
        "error": exchange.error,
        "answered_model": exchange.answered,
        "finish": exchange.finish,
        **_spent(exchange),
        "connect_ms": _span(timing.sent, timing.connected),
        "total_ms": _span(timing.started, timing.finished),
    }


def _captured(captured: Captured) -> dict[str, Any]:
    return {
        "mode": captured.mode,
        "truncated": captured.truncated,
        "input": [{"role": said.role, "channel": said.channel, "text": said.text} for said in captured.input],
        "output": [
            {"role": said.role, "channel": said.channel, "text": said.text, "choice": said.choice}
            for said in captured.output
        ],
    }


def _judgement(judgement: Judgement) -> dict[str, Any]:
    return {
        "stage": judgement.stage,
        "rail": judgement.rail,
        "action": judgement.action,
        "rules": list(judgement.rules),
        "count": judgement.count,
        "fault": judgement.fault,
        "ms": _ms(judgement.seconds),
        "enforced": judgement.enforced,
        "remembered": judgement.remembered,
    }


def _spent(exchange: Exchange) -> dict[str, Any]:
    usage, cost = exchange.usage, exchange.cost
    total = cost.total
    tokens = usage.input + usage.output
    return {
        "input_tokens": usage.input,
        "cached_tokens": usage.cached,
        "output_tokens": usage.output,
        "reasoning_tokens": usage.reasoning,
        "cache_write_tokens": usage.written + usage.written_hour,
        "audio_tokens": usage.audio_input + usage.audio_output,
        "service_tier": usage.tier,
        "estimated_tokens": usage.estimated,
        "input_usd": cost.input,
        "cached_usd": cost.cached,
        "output_usd": cost.output,
        "reasoning_usd": cost.reasoning,
        "cache_write_usd": cost.written,
        "audio_usd": cost.audio,
        "extra_usd": cost.extra,
        "gpu_usd": cost.gpu,
        "cost_usd": total,
        "token_usd": total / tokens if tokens else 0.0,
        "price": cost.source,
    }


def _timings(exchange: Exchange) -> dict[str, Any]:
    timing = exchange.timing
    total = _span(timing.started, timing.finished)
    gaps = sorted(timing.gaps)
    return {
        "input_rails_ms": None if timing.input_rails is None else _ms(timing.input_rails),
        "queue_ms": _ms(timing.queued),
        "connect_ms": _span(timing.sent, timing.connected),
        "first_token_ms": _span(timing.started, timing.first_token),
        "per_output_token_ms": _per_token(exchange),
        "gap_p50_ms": _quantile(gaps, 0.5),
        "gap_p95_ms": _quantile(gaps, 0.95),
        "gap_max_ms": _quantile(gaps, 1.0),
        "output_rails_ms": _ms(timing.output_rails),
        "upstream_ms": _ms(timing.upstream),
        "overhead_ms": None if total is None else max(0.0, round(total - _ms(timing.upstream), 3)),
        "total_ms": total,
    }


def _per_token(exchange: Exchange) -> float | None:
    """Time per token after the first, as OpenTelemetry has it; nothing for answers that came in one piece."""
    timing, after = exchange.timing, exchange.usage.output - 1
    if after < 1 or timing.first_token is None or timing.last_token is None or not timing.gaps:
        return None
    return _ms((timing.last_token - timing.first_token) / after)


def _quantile(ordered: Sequence[float], q: float) -> float | None:
    """Nearest rank."""
    return _ms(ordered[max(0, -int(-q * len(ordered) // 1) - 1)]) if ordered else None


def _span(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else _ms(end - start)


def _ms(seconds: float) -> float:
    """Milliseconds to the microsecond."""
    return round(seconds * 1000, 3)
