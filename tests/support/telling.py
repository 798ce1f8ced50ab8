"""Event logs for the exporters: exchanges as the gateway records them, and what is said of them later."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import orjson
from support.exchanges import finished

from gateway import record
from gateway.observe import events
from gateway.telemetry.destination import Destination
from gateway.telemetry.follower import Follower
from gateway.telemetry.traces import Traces
from gateway.upstream.pool import Pool
from gateway.upstream.post import Post

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Journal:
    """An event log that is written as a gateway would; every event is held against the catalogue."""

    def __init__(self, folder: Path, process: int = 1) -> None:
        self.path, self.process, self._seq = folder / "events.jsonl", process, count(1)

    def put(self, event: str, *, age_s: float = 0.0, **fields: Any) -> None:
        ts = datetime.fromtimestamp(time.time() - age_s, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        line = {"event": event, "ts": ts, "process": self.process, "seq": next(self._seq), **fields}
        events.check(line)
        with self.path.open("ab") as file:
            file.write(orjson.dumps(line) + b"\n")

    def exchange(self, ident: str = "", *, age_s: float = 0.0, **fields: Any) -> str:
        """One that ended; its id."""
        ident = ident or f"req_{secrets.token_hex(16)}"
        self.put("exchange.completed", age_s=age_s, **{**record.completed(finished()), "id": ident, **fields})
        return ident

    def score(self, ident: str, **scores: float) -> None:
        found = scores or {"relevance": 0.75, "groundedness": 0.5}
        said: dict[str, Any] = {"parts": {}, "signals": {}, "sentences": [], "scorer": "minilm", "ms": 4.0}
        self.put("score.recorded", id=ident, route="m", upstream="up", scores=found, **said)

    def feedback(self, ident: str, value: float | None = 1.0, label: str = "") -> None:
        self.put("feedback.received", id=ident, route="m", name="helpfulness", value=value, label=label, source="user")


def destination(folder: Path, told: dict[str, Any], **more: Any) -> Destination:
    """As a worker would read it. Quick to look again and to try again."""
    quick = {"look_s": 0.02, "wait_s": 0.01, "deadline_s": 5.0}
    paths = {"events": str(folder / "events.jsonl"), "state": str(folder / "state")}
    (folder / "state").mkdir(exist_ok=True)
    return Destination.read({**told, **quick, **paths, **more})


Follow = Callable[[Destination], Follower]
"""Opens a follower, that is closed when the test is over."""


@contextmanager
def following(pool: Pool) -> Iterator[Follow]:
    with ExitStack() as stack:

        def follow(to: Destination) -> Follower:
            follower = Follower(to, Post(pool), Traces(to.state / f"{to.name}.traces"))
            stack.callback(follower.close)
            return follower

        yield follow
