"""Runs of Weights & Biases in offline mode, for real: what stands in the run's file."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import orjson
import pytest
from support.telling import Journal

from gateway.telemetry import wandb_engine

pytestmark = pytest.mark.engine

pytest.importorskip("wandb", reason="the extra `wandb` is not installed")


def spec(folder: Path, **more: Any) -> dict[str, Any]:
    paths = {"events": str(folder / "events.jsonl"), "state": str(folder / "state"), "dir": str(folder / "runs")}
    told = {"name": "wandb", "project": "shop", "entity": None, "mode": "offline", "key": None, "window_s": 0.5}
    return {**paths, **told, "keep_s": 3600.0, "look_s": 0.05, "behind": 1 << 28, **more}


def logged(folder: Path) -> tuple[list[dict[str, Any]], list[str], list[Any]]:
    """Rows, kinds of artifacts and projects that the runs' files hold."""
    kind: Any = import_module("wandb.proto.wandb_internal_pb2").Record
    rows, kinds, projects = [], [], []
    for file in sorted((folder / "runs").rglob("*.wandb")):
        for data in records(file.read_bytes()):
            found = kind.FromString(data)
            match found.WhichOneof("record_type"):
                case "history":
                    rows.append({_name(item): orjson.loads(item.value_json) for item in found.history.item})
                case "artifact":
                    kinds.append(found.artifact.type)
                case "request" if found.request.WhichOneof("request_type") == "log_artifact":
                    kinds.append(found.request.log_artifact.artifact.type)
                case "run":
                    projects.append(found.run.project)
    return rows, kinds, projects


BLOCK, HEAD, OPENING = 32768, struct.Struct("<IHB"), 7


def records(data: bytes) -> Iterator[bytes]:
    """Of LevelDB's log format, after W&B's own seven bytes: pieces are whole (1), first, middle or last (4)."""
    at, parts = OPENING, b""
    while at + HEAD.size <= len(data):
        if BLOCK - at % BLOCK < HEAD.size:
            at += BLOCK - at % BLOCK
            continue
        _, length, kind = HEAD.unpack_from(data, at)
        at += HEAD.size
        parts += data[at : at + length]
        at += length
        if kind in {1, 4}:
            yield parts
            parts = b""


def _name(item: Any) -> str:
    return str(item.key or "/".join(item.nested_key))


def drift() -> dict[str, Any]:
    numbers: dict[str, Any] = {"rows": 1000, "reference_rows": 1000, "alpha": 0.01, "p_value": 0.001, "statistic": 0.1}
    lists: dict[str, Any] = {"shifts": [], "topics": [], "drifted": []}
    return {"stream": "prompts", "reference": "abc", "vectors_p_value": 0.001, **numbers, **lists}


def test_windows_are_rows_of_one_run_that_goes_on_after_a_restart_and_drift_is_an_artifact(tmp_path: Path) -> None:
    client = wandb_engine.prepare({})
    journal = Journal(tmp_path)
    for ends in range(2):
        run = wandb_engine.Run(client, spec(tmp_path))
        assert run.begun()
        for _ in range(3):
            journal.score(journal.exchange())
        if not ends:
            journal.put("drift.detected", **drift())
        time.sleep(0.6)
        while run.step():
            pass
        run.close()
    until = time.monotonic() + 30  # W&B's own program writes, in its own time
    while sum(row.get("exchanges", 0) for row in logged(tmp_path)[0]) < 6 and time.monotonic() < until:
        time.sleep(0.05)
    rows, kinds, projects = logged(tmp_path)
    assert {*projects} == {"shop"}
    assert sum(row.get("exchanges", 0) for row in rows) == 6
    steps = [row["_step"] for row in rows]
    assert steps == sorted(set(steps))
    assert rows[0]["quality/relevance"] == 0.75
    assert rows[0]["drift/prompts/detected"] == 1
    assert kinds == ["drift-report"]
    assert len({file.name for file in (tmp_path / "runs").rglob("*.wandb")}) == 1


def test_nobody_else_follows_meanwhile(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.exchange()
    first, second = (wandb_engine.Run(None, spec(tmp_path)) for _ in range(2))
    assert first.begun()
    assert not second.begun()
    first.close()
    assert second.begun()
    second.close()
