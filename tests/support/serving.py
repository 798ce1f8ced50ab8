"""The whole gateway as a user starts it: `tidegate serve` in a process of its own, on a free port of loopback."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import yaml

READY_S = 180.0
_READY = re.compile(r"ready at (http://\S+)/v1")


@dataclass(frozen=True, slots=True)
class Serving:
    """A gateway that is ready. `url` has no path."""

    url: str
    events: Path

    def written(self, name: str = "exchange.completed") -> list[dict[str, Any]]:
        """The events of that name so far."""
        return [event for event in map(orjson.loads, self.events.read_bytes().splitlines()) if event["event"] == name]


@contextmanager
def serving(config: Path, events: Path) -> Iterator[Serving]:
    """Serve what `config` says, whose events go to `events`, for as long as the context lasts; it must end with 0."""
    command = [sys.executable, "-m", "gateway", "serve", "--config", str(config), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ})
    said: list[str] = []
    try:
        yield Serving(_url(process, said), events)
    finally:
        _stop(process, said)


def _url(process: subprocess.Popen[str], said: list[str]) -> str:
    """Where it answers, once it says so."""
    assert process.stdout is not None
    impatient = threading.Timer(READY_S, process.kill)
    impatient.start()
    try:
        for line in process.stdout:
            said.append(line)
            if found := _READY.search(line):
                return found[1]
    finally:
        impatient.cancel()
    raise AssertionError(f"the gateway did not start: {''.join(said)}")


def _stop(process: subprocess.Popen[str], said: list[str]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        said += process.communicate(timeout=60)[0]
        assert process.returncode == 0, "".join(said)
    finally:
        process.kill()
        process.wait()


def written(folder: Path, settings: Mapping[str, Any], policies: Mapping[str, Mapping[str, Any]]) -> Path:
    """A configuration and its policies as files in `folder`; events go to `events.jsonl` there."""
    (folder / "config").mkdir(parents=True)
    (folder / "policies").mkdir()
    for name, policy in policies.items():
        (folder / "policies" / f"{name}.yaml").write_text(yaml.safe_dump({"name": name, **policy}))
    file = folder / "config" / "gateway.yaml"
    file.write_text(yaml.safe_dump({"events": {"path": str(folder / "events.jsonl")}, **settings}))
    return file
