"""CPU time a streamed chunk costs between the upstream's bytes and the client's, sockets not counted.

    python bench/stream.py

One answer of 2,000 chunks, one event a read, by kind of policy; the best of five runs, in microseconds a chunk.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import orjson

from gateway.config.policy import PatternSpec
from gateway.exchange import Exchange, Timing
from gateway.policy.docket import Docket
from gateway.policy.policy import Bench, Bound
from gateway.policy.rail import Subject, Tools, Unit
from gateway.policy.rails import pattern
from gateway.policy.vault import Vault
from gateway.policy.verdict import ALLOW, Verdict
from gateway.policy.window import Window
from gateway.stream import Relay, Tally

WORDS = "The quick brown fox jumps over the lazy dog and then. It naps in the shade of an old tree.".split()  # noqa: SIM905 - prose
CHUNKS = 2000


class Sentences:
    """A rail that is shown every sentence and answers at once: what is left is the window's own cost."""

    name = "sentences"
    unit = Unit.SENTENCE

    async def inspect(self, subject: Subject) -> Sequence[Verdict]:
        return [ALLOW] * len(subject.passages)


def chunk(text: str) -> bytes:
    body = {
        "id": "chatcmpl-9uQkZ3h8xYb1",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": "gpt-4o-mini-2024-07-18",
        "service_tier": "default",
        "system_fingerprint": "fp_44709d6fcb",
        "choices": [{"index": 0, "delta": {"content": text}, "logprobs": None, "finish_reason": None}],
    }
    return b"data: " + orjson.dumps(body) + b"\n\n"


def bound(rail: object) -> Bound:
    return Bound(rail, 5.0, "closed", True)  # type: ignore[arg-type]  # any kind of rail


def policies() -> dict[str, list[Bound]]:
    packs = PatternSpec(kind="pattern", builtin=("api_keys", "private_keys"))
    return {
        "no rails": [],
        "patterns": [bound(pattern.build(packs, Tools({})))],
        "sentences": [bound(Sentences())],
        "both": [bound(pattern.build(packs, Tools({}))), bound(Sentences())],
    }


async def said(chunks: Sequence[bytes]) -> AsyncGenerator[bytes, None]:
    for one in chunks:
        yield one


async def relayed(bounds: Sequence[Bound], chunks: Sequence[bytes]) -> int:
    exchange = Exchange("req", "/chat/completions", Timing(time.monotonic()))
    window = Window(Bench(bounds, "output", Docket()), Vault())
    relay = Relay(window, Tally(time.monotonic), exchange)
    size = 0
    async with aclosing(said(chunks)) as source:
        async for out in relay.relayed(source):
            size += len(out)
    return size + len(relay.last)


def main() -> None:
    chunks = [*(chunk(f" {WORDS[n % len(WORDS)]}") for n in range(CHUNKS)), b"data: [DONE]\n\n"]
    for name, bounds in policies().items():
        best = float("inf")
        for _ in range(5):
            began = time.process_time()
            assert asyncio.run(relayed(bounds, chunks)) == sum(map(len, chunks))
            best = min(best, time.process_time() - began)
        print(f"{name:10} {best / CHUNKS * 1e6:6.1f} µs a chunk")


if __name__ == "__main__":
    main()
