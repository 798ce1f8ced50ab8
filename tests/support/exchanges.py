"""One finished exchange, for the tests of what is recorded of it."""

from __future__ import annotations

from gateway.exchange import Cost, Exchange, Judgement, Timing, Usage


def finished() -> Exchange:
    """A streamed answer of 101 tokens: asked at 10 s, sent at 10.25, first text at 11, last at 12, over at 12.5."""
    timing = Timing(
        started=10.0,
        input_rails=0.25,
        sent=10.25,
        connected=10.5,
        first_token=11.0,
        last_token=12.0,
        output_rails=0.125,
        upstream=1.5,
        finished=12.5,
        gaps=[n / 1000 for n in range(1, 101)],
    )
    exchange = Exchange(id="ex-1", endpoint="/chat/completions", timing=timing, model="m", route="m", upstream="up")
    exchange.judgements += [
        Judgement("input", "secrets", "redact", ("api_keys",), 2, seconds=0.0015),
        Judgement("output", "topics", "block", fault="timeout", seconds=1.5, enforced=False),
    ]
    exchange.tried += ["down", "up"]
    exchange.answered, exchange.policy, exchange.digest = "m-2026", "support", "abc"
    exchange.usage = Usage(input=100, cached=40, output=101, reasoning=1)
    exchange.cost = Cost(input=0.006, cached=0.001, output=0.01, reasoning=0.0001, gpu=0.003, source="litellm")
    exchange.status, exchange.verdict, exchange.stream, exchange.finish = 200, "redact", True, "stop"
    exchange.scanned, exchange.scannable, exchange.sent, exchange.received = 30, 40, 500, 200
    return exchange
