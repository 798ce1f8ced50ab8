"""The exporter as a process: killed, asked for news, told to leave."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import orjson
import pytest
from support.collecting import Collector, until
from support.scripted import refusing
from support.telling import Journal

from gateway.config.export import Otlp
from gateway.observe.log import open_log
from gateway.serve import exporting
from gateway.serve.tally import Tally
from gateway.telemetry import vendors
from gateway.worker.client import Client
from gateway.worker.supervisor import Host, Supervisor

pytestmark = pytest.mark.engine


def told(folder: Path, url: str, name: str) -> dict[str, Any]:
    spec = Otlp(kind="otlp", name=name, endpoint=url, look_s=0.05, wait_s=0.05, signals=("traces",))
    return {**vendors.told(spec, {}), "events": str(folder / "events.jsonl"), "state": str(folder / "state")}


def asked(collector: Collector) -> set[bytes]:
    return {span.span_id for span in collector.spans() if span.name == "chat m"}


async def test_a_worker_that_is_killed_and_a_collector_that_is_gone_cost_no_span(
    journal: Journal, collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "ASK_S", 0.05)
    tally, log = Tally(), tmp_path / "gateway.jsonl"
    with refusing() as nobody, open_log(str(log), strict=True) as written:
        gone = told(tmp_path, nobody.removesuffix("/v1"), "gone")
        spec = {"destinations": [told(tmp_path, collector.url, "well"), gone]}
        host = Host("export", exporting.ENGINES["export"], spec, tmp_path / "e")
        async with Supervisor([host], lambda *_: None) as supervisor:
            await supervisor.ready(60)
            asking = exporting.Exporting(written, tally)
            await asking.follow({"export": str(host.socket), "scorer": "elsewhere"})
            for _ in range(10):
                journal.exchange()
            await until(lambda: len(asked(collector)) == 10)
            await until(lambda: 'tidegate_export_failing{destination="gone"} 1.0' in tally.summed([]))
            async with Client(host.socket, name="export") as client:
                os.kill((await client.ping(deadline_s=10))["pid"], signal.SIGKILL)
            for _ in range(10):
                journal.exchange()
            await until(lambda: len(asked(collector)) == 20)
            await until(lambda: 'tidegate_export_sent_total{destination="well",signal="traces"}' in tally.summed([]))
            await asking.close()
            assert "tidegate_export" not in tally.summed([])
            last = journal.exchange()
        # It was told to leave, and sent what stood in the log first.
        assert len(asked(collector)) == 21, last
    events = [orjson.loads(line) for line in log.read_bytes().splitlines()]
    assert {(event["event"], event["destination"]) for event in events} == {("export.failing", "gone")}
    assert "refused" in events[0]["reason"]
