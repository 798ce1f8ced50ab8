"""The scorer where it lives: in a forked server of the worker harness."""

import asyncio
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.worker.client import Client
from gateway.worker.supervisor import Host, Supervisor

ITEM = {"question": "Where is it?", "context": ["The harbour is in Rostock. " * 8], "answer": "In Rostock. Ask Jonah."}
PATIENT_S = 120.0


@pytest.mark.engine
async def test_it_answers_from_a_fork_and_from_the_fork_after_that(tmp_path: Path) -> None:
    events: list[tuple[str, Mapping[str, Any]]] = []
    host = Host("scorer", "gateway.scoring.engine", {}, tmp_path / "scorer.sock")
    async with Supervisor([host], lambda _, event, fields: events.append((event, fields))) as supervisor:
        await supervisor.ready(PATIENT_S)
        async with Client(host.socket, name="scorer") as client:
            before = await client.call("score", {"items": [ITEM]}, deadline_s=PATIENT_S)
            os.kill(events[0][1]["pid"], signal.SIGKILL)
            calls = (client.call("score", {"items": [ITEM]}, deadline_s=PATIENT_S) for _ in range(8))
            after = await asyncio.gather(*calls)

    assert before["scores"][0]["groundedness"] > 0.3
    for answer in after:
        assert answer["scores"][0]["groundedness"] == pytest.approx(before["scores"][0]["groundedness"], abs=1e-4)
    assert [event for event, _ in events] == ["worker.started", "worker.restarted"]


@pytest.mark.engine
async def test_a_scorer_without_weights_says_so(tmp_path: Path) -> None:
    spec = {"encoder": str(tmp_path / "nowhere")}
    events: list[tuple[str, Mapping[str, Any]]] = []
    host = Host("scorer", "gateway.scoring.engine", spec, tmp_path / "scorer.sock")
    async with Supervisor([host], lambda _, event, fields: events.append((event, fields))):
        async with asyncio.timeout(PATIENT_S):
            while not events:  # noqa: ASYNC110 - the supervisor tells by a plain call
                await asyncio.sleep(0.01)

    ((event, fields),) = events
    assert event == "worker.failed"
    assert "nowhere" in fields["reason"]
