"""A gateway with a page at `/ui`, an hour of exchanges behind it, and a monitor that found a new topic."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.panel_data import watched
from support.serving import Serving, serving, written

from gateway.config.load import load
from gateway.monitor.spec import Spec
from gateway.serve import watching

KEY = "tg-operator"
POLICY = {"input": [{"pattern": {"deny": ["plover"], "action": "block"}}]}
SETTINGS: dict[str, Any] = {
    "ui": {"sha256": hashlib.sha256(KEY.encode()).hexdigest()},
    "keys": [{"name": "app", "sha256": hashlib.sha256(b"tg-app").hexdigest()}],
    "monitor": {"state": "../state", "drift": {"window": 300, "every": 100, "reference": 600, "span_s": 0}},
    "upstreams": [{"name": "vllm", "kind": "openai", "base_url": "http://127.0.0.1:9/v1"}],
    "routes": [{"model": "support", "upstreams": ["vllm"], "policy": "support-bot"}],
}


@contextmanager
def shown(folder: Path) -> Iterator[Serving]:
    config = written(folder / "g", SETTINGS, {"support-bot": POLICY})
    watched(Spec.read((watching.spec(load(config, {})) or {})["watch"]), time.time())
    with serving(config, config.parent.parent / "events.jsonl") as found:
        yield found
