"""What a score costs: one RAG exchange of 2,300 tokens cold and warm, batched and alone, and what the caller notices.

    python bench/scorer.py [--rounds 10] [--only rag_cold …] [--write]

The scorer runs where it lives, in a worker process; times are what a caller sees, CPU times are the worker's own.
`--write` puts the figures into bench/results/scorer.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from gateway.scoring.sampler import Sample, Sampler
from gateway.worker.client import Client
from gateway.worker.supervisor import Host, Supervisor

DEADLINE_S = 600.0
WORDS = """harbour council report winter budget river bridge engine teacher market village museum forest signal
doctor letter garden island record pilot station valley contract library mayor season farmer school captain union
fishing railway energy storage traffic weather language history science factory""".split()  # noqa: SIM905 - forty words are eighty quotes
TICK_S = 0.002


def sentence(rng: random.Random) -> str:
    return " ".join(["The", *rng.choices(WORDS, k=11), "in", str(rng.randrange(1900, 2030))]) + "."


def text(rng: random.Random, tokens: int) -> str:
    return " ".join(sentence(rng) for _ in range(tokens // 15))


def exchange(rng: random.Random, context: int = 2_000, answer: int = 256, chunks: int = 5) -> dict[str, Any]:
    parts = [text(rng, context // chunks) for _ in range(chunks)] if context else []
    return {"question": sentence(rng), "context": parts, "answer": text(rng, answer)}


def spent(pid: int) -> float:
    """CPU seconds of a process, all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Bench:
    def __init__(self, client: Client, pid: int, rounds: int) -> None:
        self.client, self.pid, self.rounds = client, pid, rounds
        self.rng = random.Random(1)

    async def score(self, *items: dict[str, Any], lane: str = "inline") -> None:
        await self.client.call("score", {"items": list(items), "lane": lane}, deadline_s=DEADLINE_S)

    async def latency(self, items: Sequence[dict[str, Any]]) -> dict[str, float]:
        times, cpu = [], spent(self.pid)
        for item in items:
            began = time.perf_counter()
            await self.score(item)
            times.append((time.perf_counter() - began) * 1000)
        used = (spent(self.pid) - cpu) * 1000 / len(items)
        return {
            "p50_ms": round(statistics.median(times), 1),
            "worst_ms": round(max(times), 1),
            "cpu_ms": round(used, 1),
        }

    async def cold(self) -> dict[str, float]:
        return await self.latency([exchange(self.rng) for _ in range(self.rounds)])

    async def warm(self) -> dict[str, float]:
        base = exchange(self.rng)
        await self.score(base)
        return await self.latency([{**base, "answer": text(self.rng, 256)} for _ in range(self.rounds)])

    async def sentences(self) -> dict[str, float]:
        base = exchange(self.rng)
        await self.score(base)
        return await self.latency([{**base, "answer": sentence(self.rng)} for _ in range(self.rounds)])

    async def throughput(self, make: Any, count: int) -> dict[str, float]:
        """Answers a second, one call after the other and all at once, in turns."""
        rates: dict[str, list[float]] = {"alone": [], "batched": []}
        cpu: dict[str, list[float]] = {"alone": [], "batched": []}
        for _ in range(2):
            for how, seconds in rates.items():
                items, began, used = [make() for _ in range(count)], time.perf_counter(), spent(self.pid)
                if how == "alone":
                    for item in items:
                        await self.score(item)
                else:
                    await asyncio.gather(*(self.score(item) for item in items))
                seconds.append(count / (time.perf_counter() - began))
                cpu[how].append((spent(self.pid) - used) * 1000 / count)
        alone, batched = (statistics.median(rates[how]) for how in rates)
        return {
            "alone_per_s": round(alone, 1),
            "batched_per_s": round(batched, 1),
            "times": round(batched / alone, 2),
            "alone_cpu_ms": round(statistics.median(cpu["alone"]), 2),
            "batched_cpu_ms": round(statistics.median(cpu["batched"]), 2),
        }

    async def lag(self, seconds: float) -> list[float]:
        """How late this process's event loop is, every 2 ms, in ms."""
        late, until = [], time.perf_counter() + seconds
        while (began := time.perf_counter()) < until:
            await asyncio.sleep(TICK_S)
            late.append((time.perf_counter() - began - TICK_S) * 1000)
        return late

    async def noticed(self) -> dict[str, float]:
        """The event loop's lateness idle and while its sampler saturates the scorer, in turns."""
        sampler = Sampler(self.client, lambda *_: None, DEADLINE_S)
        task = asyncio.create_task(sampler.run())
        idle: list[float] = []
        busy: list[float] = []
        for _ in range(3):
            idle += await self.lag(3.0)
            for n in range(32):
                one = exchange(self.rng)
                sampler.offer(Sample(str(n), "m", "up", one["question"], one["context"], one["answer"]))
                await asyncio.sleep(0)
            busy += await self.lag(3.0)
            await sampler.queue.join()
        task.cancel()
        p99 = [sorted(late)[int(len(late) * 0.99)] for late in (idle, busy)]
        return {
            "idle_p99_ms": round(p99[0], 3),
            "busy_p99_ms": round(p99[1], 3),
            "added_p99_ms": round(p99[1] - p99[0], 3),
        }


async def measured(rounds: int, only: Sequence[str]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        host = Host("scorer", "gateway.scoring.engine", {}, Path(folder) / "s")
        async with Supervisor([host], lambda *_: None) as supervisor, Client(host.socket, name="scorer") as client:
            await supervisor.ready(120)
            bench = Bench(client, (await client.ping(deadline_s=60))["pid"], rounds)
            await bench.score(exchange(bench.rng))
            chat = exchange(bench.rng, context=120, answer=30, chunks=1)
            parts = {
                "rag_cold": bench.cold,
                "rag_warm": bench.warm,
                "rag_warm_sentence": bench.sentences,
                "short_answers": lambda: bench.throughput(lambda: {**chat, "answer": text(bench.rng, 30)}, 32),
                "rag_same_documents": lambda: bench.throughput(lambda: shared(bench.rng), 8),
                "caller": bench.noticed,
            }
            found = {}
            for name in only or parts:
                found[name] = await parts[name]()
                print(name, found[name], file=sys.stderr, flush=True)
            return found


def shared(rng: random.Random) -> dict[str, Any]:
    """An exchange whose documents others have too, as under a retriever with few documents."""
    return {**exchange(random.Random(rng.randrange(4))), "answer": text(rng, 256)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--only", nargs="*", default=[], help="names of parts")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    found = {
        "machine": {"cpu": torch.cpu.get_capabilities().get("cpu_name", platform.processor()), "cores": os.cpu_count()},
        "torch": torch.__version__,
        "load": os.getloadavg()[0],
        **asyncio.run(measured(options.rounds, options.only)),
    }
    print(json.dumps(found, indent=2))
    if options.write:
        file = Path(__file__).parent / "results" / "scorer.json"
        known = json.loads(file.read_text()) if options.only and file.exists() else {}
        file.write_text(json.dumps({**known, **found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
