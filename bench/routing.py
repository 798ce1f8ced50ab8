"""What a route costs a request: CPU time of finding, choosing, asking and letting go, without any upstream.

    python bench/routing.py [--requests 50000] [--rounds 7]

The upstream is a context manager that does nothing, and its own cost is measured beside it and printed, so that what
remains is the routing's. Best of the rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from gateway.config.schema import OpenAISpec, RouteSpec
from gateway.routing import Asked, Errand, Routes, Target
from gateway.upstream import Ask, Reply

ASK = Ask("/chat/completions", b"{}", stream=False)


class Nothing:
    """An upstream, and the context manager that its `send` gives."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._reply = Reply(200, (), None)  # type: ignore[arg-type]  # nobody reads it

    def send(self, _ask: Ask) -> Nothing:
        return self

    async def __aenter__(self) -> Reply:
        return self._reply

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


ARMS = tuple({"name": name, "upstreams": (name,)} for name in "01")
CASES: dict[str, tuple[int, dict[str, Any]]] = {
    "one upstream": (1, {}),
    "one upstream, with a limit": (1, {}),
    "one upstream, with a deadline": (1, {"deadline_s": 60.0}),
    "one upstream, by a wildcard": (1, {"model": "m*"}),
    "three in order": (3, {}),
    "three by weight": (3, {"balance": "weight"}),
    "three by least outstanding": (3, {"balance": "least"}),
    "three by latency": (3, {"balance": "latency"}),
    "three, sticky by prompt": (3, {"balance": "least", "sticky": {"by": "prompt"}}),
    "split in two arms by key": (0, {"split": {"by": "key", "arms": ARMS}}),
}


def routes(count: int, more: dict[str, Any], *, limit: bool) -> Routes:
    load = {"load": {"concurrency": 64}} if limit else {}
    specs = [
        OpenAISpec.model_validate({"name": str(n), "kind": "openai", "base_url": "http://127.0.0.1/v1", **load})
        for n in range(max(count, 2))
    ]
    targets = {spec.name: Target(Nothing(spec.name), spec) for spec in specs}
    members = {"upstreams": tuple(str(n) for n in range(count))} if count else {}
    return Routes([RouteSpec.model_validate({"model": "m", **members, **more})], targets)


async def bare(count: int) -> float:
    """What asking nothing costs by itself, in µs."""
    upstream = Nothing("0")
    began = time.process_time()
    for _ in range(count):
        async with upstream.send(ASK):
            pass
    return (time.process_time() - began) / count * 1e6


async def asked(table: Routes, count: int) -> float:
    """One request, in µs: the route by its name, its arm, an errand, and one try of it."""
    began = time.process_time()
    for _ in range(count):
        route = table.pick("m")
        errand = Errand(ASK.endpoint, lambda _: ASK, [], "m", "app-1", lambda n: "You are a helpful assistant."[:n])
        async with Asked(route.group("app-1"), errand):
            pass
    return (time.process_time() - began) / count * 1e6


def best(values: Sequence[float]) -> float:
    return min(values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    nothing = best([asyncio.run(bare(given.requests)) for _ in range(given.rounds)])
    print(f"{'asking nothing, taken off below':<40}{nothing:6.2f} µs")
    for name, (count, more) in CASES.items():
        table = routes(count, more, limit="limit" in name)
        spent = best([asyncio.run(asked(table, given.requests)) for _ in range(given.rounds)])
        print(f"{name:<40}{spent - nothing:6.2f} µs")


if __name__ == "__main__":
    main()
