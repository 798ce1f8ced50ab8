"""An hour of traffic as a log has it, with a new topic at its end, and what a monitor made of it."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson
from support.exchanges import finished

from gateway.monitor import store
from gateway.monitor.memory import remembered
from gateway.monitor.spec import Spec
from gateway.monitor.watch import Watch
from gateway.observe.spool import Record
from gateway.record import completed

SECONDS = 3600
RAILS = (
    ("input", "secrets", "redact", 0.03),
    ("input", "jailbreak", "block", 0.02),
    ("output", "grounded", "flag", 0.08),
)


def hour(end: float, seed: int = 3) -> Iterator[dict[str, Any]]:
    """Events of the hour before the instant `end`."""
    rng = random.Random(seed)
    whole = completed(finished())
    at, n = end - SECONDS, 0
    while (at := at + rng.expovariate(0.4 + 0.3 * math.sin(at / 500))) < end:
        n += 1
        gone = 1 - (end - at) / SECONDS
        yield {"event": "exchange.completed", **whole, **_exchange(rng, n, at, gone)}
        told = {
            "event": "score.recorded",
            "ts": _clock(at + 0.2),
            "id": f"x{n}",
            "route": "support",
            "upstream": "vllm",
        }
        yield {**told, "scores": _scores(rng, gone)}


def _exchange(rng: random.Random, n: int, at: float, gone: float) -> dict[str, Any]:
    hit = [(*rail[:3], rng.random() < rail[3] * (1 + gone)) for rail in RAILS]
    blocked = any(found and action == "block" for _, _, action, found in hit)
    failed = not blocked and rng.random() < 0.01
    total = rng.lognormvariate(6.4 + 0.3 * gone, 0.5)
    words = [action for _, _, action, found in hit if found]
    judged = [
        {"stage": stage, "rail": rail, "action": action if found else "allow", "rules": [f"{rail}.rule"] * found,
         "count": int(found), "fault": "", "ms": 0.2, "enforced": True, "remembered": 0}
        for stage, rail, action, found in hit
    ]  # fmt: skip
    return {
        "ts": _clock(at),
        "id": f"x{n}",
        "model": "support",
        "route": "support",
        "policy": "support-bot",
        "principal": rng.choice(["web", "mobile", "batch"]),
        "upstream": "" if blocked else rng.choice(["vllm", "vllm", "claude"]),
        "outcome": "blocked" if blocked else "failed" if failed else "completed",
        "status": 400 if blocked else 502 if failed else 200,
        "verdict": max(words, key=["flag", "redact", "block"].index) if words else "allow",
        "judgements": judged,
        "input_tokens": rng.randrange(200, 3000),
        "output_tokens": 0 if blocked else rng.randrange(20, 600),
        "cost_usd": 0.0 if blocked else round(rng.lognormvariate(-7.5, 0.6), 6),
        "total_ms": 4.0 if blocked else round(total, 2),
        "first_token_ms": None if blocked else round(total * rng.uniform(0.1, 0.3), 2),
        "error": "content_filter" if blocked else "upstream_error" if failed else "",
    }


def _scores(rng: random.Random, gone: float) -> dict[str, float]:
    spread = {
        "relevance": 0.72,
        "groundedness": 0.83 - 0.15 * gone,
        "hallucination": 0.15 + 0.1 * gone,
        "toxicity": 0.01,
    }
    return {name: min(1.0, max(0.0, rng.gauss(mean, 0.05))) for name, mean in spread.items()}


def watched(spec: Spec, end: float) -> None:
    """Write the log, and the state of a monitor that saw its prompts: 7 in 10 as before, 3 of something new."""
    rng, ids, log, state = np.random.default_rng(5), list[str](), spec.events, spec.state
    with log.open("ab") as file:
        for line in hour(end):
            file.write(orjson.dumps(line) + b"\n")
            ids += [line["id"]] if line["event"] == "exchange.completed" else []
    state.mkdir(parents=True)
    watch, centres = Watch(spec), rng.normal(size=(7, 24))
    for n, ident in enumerate(ids):
        topic = 6 if n > len(ids) - 400 and rng.random() < 0.3 else int(rng.integers(6))
        vector = centres[topic] + 0.8 * rng.normal(size=24)
        head = {"id": ident, "route": "m", "at": end - len(ids) + n, "kind": "prompt", "chars": 40, "language": "en"}
        watch.records([Record({**head, "words": []}, (vector / np.linalg.norm(vector)).astype("<f2").tobytes())])
        watch.look(end)
    watch.save_reference()
    marked = [log.stat().st_ino, log.stat().st_size]  # of what it would read again
    told, arrays = remembered(watch)
    store.save(state / "state.npz", {**told, "marks": {"events": marked, "spool": [0, 0]}}, arrays)
    with log.open("ab") as file:
        for number, event, fields in watch.outbox.entries:
            file.write(
                orjson.dumps({"event": event, "ts": _clock(end), "level": "warning", "seq": number, **fields}) + b"\n"
            )


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
