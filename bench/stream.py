"""CPU time a streamed chunk costs between the upstream's bytes and the client's, sockets not counted.

    python bench/stream.py

One answer of 2,000 chunks, one event a read, by kind of policy, read piece by piece and poured out as it comes; the
best of ten runs, in microseconds a chunk.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
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


class Poured:
    """`upstream.Flowing`: all chunks, one after the other."""

    def __init__(self, chunks: Sequence[bytes]) -> None:
        self._left = iter(chunks)

    def __aiter__(self) -> Poured:
        return self

    async def __anext__(self) -> bytes:
        raise StopAsyncIteration

    async def flow(self, sink: Callable[[bytes], bool]) -> bool:
        return any(not sink(one) for one in self._left)

    async def aclose(self) -> None:
        pass


class Counted:
    """`stream.Outlet` that counts."""

    open = True

    def __init__(self) -> None:
        self.size = 0

    def write(self, piece: bytes) -> None:
        self.size += len(piece)


async def relayed(bounds: Sequence[Bound], chunks: Sequence[bytes], *, poured: bool) -> int:
    exchange = Exchange("req", "/chat/completions", Timing(time.monotonic()))
    window, outlet = Window(Bench(bounds, "output", Docket()), Vault()), Counted()
    relay = Relay(window, Tally(time.monotonic), exchange, outlet=outlet)
    async with aclosing(Poured(chunks) if poured else said(chunks)) as source:
        async for out in relay.relayed(source):
            outlet.size += len(out)
    return outlet.size + len(relay.last)


def main() -> None:
    chunks = [*(chunk(f" {WORDS[n % len(WORDS)]}") for n in range(CHUNKS)), b"data: [DONE]\n\n"]
    for name, bounds in policies().items():
        took = [min(run(bounds, chunks, poured=poured) for _ in range(10)) for poured in (False, True)]
        print(f"{name:10} {took[0]:6.1f} µs a chunk read, {took[1]:6.1f} poured")


def run(bounds: Sequence[Bound], chunks: Sequence[bytes], *, poured: bool) -> float:
    began = time.process_time()
    assert asyncio.run(relayed(bounds, chunks, poured=poured)) == sum(map(len, chunks))
    return (time.process_time() - began) / CHUNKS * 1e6


if __name__ == "__main__":
    main()
