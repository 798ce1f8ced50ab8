import asyncio
import hmac
import json
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from support.monitor_data import Traffic

from gateway.config.monitor import SignalHook
from gateway.observe.log import open_log
from gateway.serve import watching
from gateway.serve.tally import Tally
from gateway.worker.client import Client
from gateway.worker.supervisor import Host, Supervisor

pytestmark = pytest.mark.engine

Received = list[tuple[dict[str, str], bytes]]


@asynccontextmanager
async def receiving(statuses: list[int]) -> AsyncIterator[tuple[str, Received]]:
    """A service that answers with `statuses`, one after the other, and then with 200."""
    got: Received = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            lines = head.decode().split("\r\n")[1:-2]
            headers = dict(line.split(": ", 1) for line in lines)
            got.append((headers, await reader.readexactly(int(headers["content-length"]))))
            status = statuses.pop(0) if statuses else 200
            writer.write(b"HTTP/1.1 %d Said\r\ncontent-length: 2\r\n\r\nok" % status)
            await writer.drain()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(asyncio.create_task(answer(reader, writer)))
        writers.append(writer)

    tasks: list[asyncio.Task[None]] = []
    writers: list[asyncio.StreamWriter] = []
    async with await asyncio.start_server(connected, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook", got
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in writers:
            writer.close()
            await writer.wait_closed()


async def until(done: Any) -> None:
    async with asyncio.timeout(60):
        while not done():  # noqa: ASYNC110 - what is waited for is in files and other processes
            await asyncio.sleep(0.05)


def events(log: Path) -> list[Mapping[str, Any]]:
    return [orjson.loads(line) for line in log.read_bytes().splitlines()] if log.exists() else []


def spec(traffic: Traffic, golden: Path) -> dict[str, Any]:
    folder = traffic.folder
    paths = {"events": traffic.log, "spool": folder / "state" / "vectors", "state": folder / "state", "golden": golden}
    terms = {"cooldown_s": 0.0, "action": "Look.", "run": "tidegate drift report"}
    told = {"look_s": 0.05, "seed": 1, "signals": {"accuracy": terms}}
    return {"watch": {**told, **{name: str(path) for name, path in paths.items()}}}


async def test_signals_are_logged_shown_and_posted_once_each_also_when_the_monitor_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "ASK_S", 0.05)
    traffic, golden, log = Traffic(tmp_path), tmp_path / "golden", tmp_path / "gateway.jsonl"
    golden.mkdir()
    host = Host("monitor", watching.ENGINE, spec(traffic, golden), tmp_path / "m")
    tally, pids = Tally(), []

    def ran(number: int, passed: int) -> None:
        new = golden / "new"
        new.write_text(json.dumps({"set": "capitals", "passed": passed, "total": 400}))
        new.rename(golden / f"{number}.json")

    def said(name: str) -> int:
        return sum(event["event"] == name for event in events(log))

    async with receiving([503, 503]) as (url, got), Supervisor([host], lambda *_: None) as supervisor:
        hook = SignalHook.model_validate({"url": url, "secret": "s3cret", "token": "t0ken", "wait_s": 0.05})
        await supervisor.ready(60)
        with open_log(str(log), strict=True) as written:
            watch = watching.Watching(written, tally)
            await watch.follow(str(host.socket), hook)
            ran(1, 360)
            await until(lambda: "tidegate_golden_ratio" in tally.summed([]))
            ran(2, 280)
            await until(lambda: said("signal.raised") == 1 and len(got) == 3)
            async with Client(host.socket, name="monitor") as client:
                pids.append((await client.ping(deadline_s=10))["pid"])
            os.kill(pids[0], signal.SIGKILL)
            ran(3, 365)
            await until(lambda: said("signal.cleared") == 1 and len(got) == 4)
            assert 'tidegate_signal{signal="accuracy"} 0.0' in tally.summed([])
            await watch.close()
    bodies = [json.loads(body) for _, body in got]
    assert [body["event"] for body in bodies] == ["signal.raised"] * 3 + ["signal.cleared"]
    assert bodies[0]["evidence"]["golden_sets"][0]["accuracy"] == 0.7
    assert (bodies[0]["action"], bodies[0]["run"]) == ("Look.", "tidegate drift report")
    assert len({headers["x-tidegate-event"] for headers, _ in got}) == 2
    for headers, body in got:
        assert headers["x-tidegate-signature"] == "sha256=" + hmac.new(b"s3cret", body, "sha256").hexdigest()
        assert headers["authorization"] == "Bearer t0ken"
    assert said("webhook.failed") == 0


async def test_a_service_that_refuses_is_not_asked_again_and_that_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "ASK_S", 0.05)
    traffic, golden, log = Traffic(tmp_path), tmp_path / "golden", tmp_path / "gateway.jsonl"
    golden.mkdir()
    (golden / "1.json").write_text('{"set": "s", "passed": 390, "total": 400}')
    os.utime(golden / "1.json", (1, 1))
    (golden / "2.json").write_text('{"set": "s", "passed": 90, "total": 400}')
    host = Host("monitor", watching.ENGINE, spec(traffic, golden), tmp_path / "m")
    async with receiving([422]) as (url, got), Supervisor([host], lambda *_: None) as supervisor:
        await supervisor.ready(60)
        with open_log(str(log), strict=True) as written:
            watch = watching.Watching(written, Tally())
            await watch.follow(str(host.socket), SignalHook(url=url))
            await until(lambda: any(event["event"] == "webhook.failed" for event in events(log)))
            await watch.close()
    (failed,) = [event for event in events(log) if event["event"] == "webhook.failed"]
    assert (failed["signal"], failed["reason"]) == ("accuracy", "status 422")
    assert len(got) == 1
