"""Traffic that a monitor can watch: exchanges, feedback and vectors, of six subjects and of a seventh that is new."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from gateway.monitor.spec import Spec
from gateway.observe.spool import Record, Spool

WIDTH = 24


class Traffic:
    """An event log and a spool, and a gateway that writes both. Seconds pass one an exchange."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.n = folder, 0
        self.rng = np.random.default_rng(11)
        self.centres = self.rng.normal(size=(7, WIDTH))
        self.log, self.spool = folder / "events.jsonl", Spool(folder / "state" / "vectors")
        self.log.touch()

    def spec(self, **more: Any) -> Spec:
        sizes: dict[str, Any] = {
            "state": self.folder / "state",
            "rows": 300,
            "window": 200,
            "every": 50,
            "span_s": 0,
            "seed": 5,
            "look_s": 0.05,
            "share": 0.05,
        }
        return Spec(self.log, self.folder / "state" / "vectors", **{**sizes, **more})

    def send(self, count: int, *, new: float = 0.0, right: float | None = None, complaints: float = 0.0) -> None:
        lines, records = [], []
        for _ in range(count):
            self.n += 1
            head = {"ts": self._clock(), "process": 1, "seq": self.n, "id": f"x{self.n}", "route": "m"}
            told = {"input_tokens": 5, "output_tokens": 7, "verdict": "allow", "outcome": "completed", "finish": "stop"}
            lines.append({"event": "exchange.completed", **head, **told})
            if right is not None:
                word = "correct" if self.rng.random() < right else "incorrect"
                lines.append({"event": "feedback.received", **head, "label": word})
            if self.rng.random() < complaints:
                lines.append({"event": "feedback.received", **head, "label": "complaint"})
            records.append(self._record(6 if self.rng.random() < new else int(self.rng.integers(6))))
        with self.log.open("a") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)
        self.spool.put(records)

    def _record(self, topic: int) -> Record:
        vector = self.centres[topic] + 0.8 * self.rng.normal(size=WIDTH)
        vector /= np.linalg.norm(vector)
        words = ["customs", "duty"] if topic == 6 else ["tea", f"word{topic}"]
        head = {"id": f"x{self.n}", "route": "m", "at": 1.8e9 + self.n, "kind": "prompt", "chars": 50 + self.n % 40}
        return Record({**head, "language": "en", "words": words}, vector.astype("<f2").tobytes())

    def _clock(self) -> str:
        return datetime.fromtimestamp(1.8e9 + self.n, UTC).isoformat()
