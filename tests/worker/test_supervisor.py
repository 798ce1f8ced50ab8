from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.workers import Start

from gateway.errors import WorkerFault, WorkerTimeout
from gateway.worker.client import Client
from gateway.worker.supervisor import Host, Supervisor

pytestmark = pytest.mark.engine

Make = Callable[..., Host]


def hear(*_: object) -> None:
    """Events that a test does not look at."""


async def test_a_worker_that_started_is_told_once(start: Start) -> None:
    async with start() as worker:
        (told,) = worker.told("worker.started")
        assert told["pid"] == (await worker.client.ping(deadline_s=5))["pid"]
        assert told["generation"] == 1
        assert [event for _, event, _ in worker.events] == ["worker.started"]


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"prepare": "raise", "api_key": "sk-very-secret"}, "ValueError: no such guard; key was ***"),
        ({"prepare": "exit"}, "SystemExit: no such ?[2Jmodel"),
        ({"open": "raise"}, "ValueError: no such encoder"),
    ],
)
async def test_a_mistake_in_the_spec_reaches_the_operator_and_is_not_tried_again(
    host: Make, spec: Any, reason: str
) -> None:
    events: list[tuple[str, str, Any]] = []
    async with Supervisor([host(spec)], lambda *event: events.append(event)) as supervisor:
        with pytest.raises(WorkerFault) as caught:
            await supervisor.ready(30)
        assert caught.value.message == f"worker echo cannot start: {reason}"
        await asyncio.sleep(0.5)
    assert events == [("echo", "worker.failed", {"reason": reason})]


async def test_an_engine_that_is_not_there_is_named(folder: Path) -> None:
    async with Supervisor([Host("rails", "no.such.engine", {}, folder / "w.sock")], hear) as supervisor:
        with pytest.raises(WorkerFault, match="worker rails cannot start: ModuleNotFoundError: No module named 'no'"):
            await supervisor.ready(30)


async def test_a_socket_whose_name_is_too_long_is_a_mistake_too(folder: Path) -> None:
    path = folder / ("x" * 120)
    async with Supervisor([Host("rails", "json", {}, path)], hear) as supervisor:
        with pytest.raises(WorkerFault, match="worker rails cannot start"):
            await supervisor.ready(30)


async def test_a_file_that_is_no_socket_is_never_removed(host: Make) -> None:
    host().socket.write_text("precious")
    async with Supervisor([host()], hear) as supervisor:
        with pytest.raises(WorkerFault, match="is not a socket"):
            await supervisor.ready(30)
    assert host().socket.read_text() == "precious"


async def test_a_worker_that_dies_while_opening_is_not_ready_and_says_why(host: Make) -> None:
    async with Supervisor([host({"open": "exit"})], hear) as supervisor:
        with pytest.raises(WorkerTimeout, match="worker echo is not ready after 1 s: exit 9"):
            await supervisor.ready(1)


async def test_a_worker_that_never_opens_is_not_ready_and_goes_at_the_end(host: Make) -> None:
    others = descendants(os.getpid())
    async with Supervisor([host({"open": "never"})], hear) as supervisor:
        with pytest.raises(WorkerTimeout, match="no answer"):
            await supervisor.ready(1)
        pids = set(descendants(os.getpid())).difference(others)
        assert len(pids) == 2
    assert not any(map(running, pids))


async def test_at_the_end_the_engine_is_closed_and_nothing_is_left(start: Start, folder: Path) -> None:
    others = descendants(os.getpid())
    async with start({"farewell": str(folder / "farewell")}) as worker:
        pids = set(descendants(os.getpid())).difference(others)
        assert len(pids) == 2
    assert (folder / "farewell").read_text() == "x"
    assert not worker.host.socket.exists()
    assert not any(map(running, pids))


async def test_a_worker_that_will_not_end_is_killed_at_the_end(start: Start) -> None:
    others = descendants(os.getpid())
    async with start() as worker:
        pids = set(descendants(os.getpid())).difference(others)
        call = asyncio.create_task(worker.client.call("block", 3600, deadline_s=3600))
        await asyncio.sleep(0.1)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        ending = time.monotonic()
    assert time.monotonic() - ending < 10
    assert not any(map(running, pids))


async def test_a_host_that_ended_by_itself_is_started_again(start: Start) -> None:
    async with start() as worker:
        who = await worker.client.call("who", None, deadline_s=5)
        os.kill(who["template"], signal.SIGTERM)
        while not worker.told("worker.restarted"):  # noqa: ASYNC110 - the supervisor tells by a plain call
            await asyncio.sleep(0.02)
        assert (await worker.client.call("who", None, deadline_s=30))["template"] != who["template"]
        (failed,) = worker.told("worker.failed")
        assert failed["reason"] == "host exit 0"


async def test_several_hosts_are_ready_together(folder: Path, host: Make) -> None:
    hosts = [
        Host(f"echo{n}", "echoing", {"prepare_s": n / 10}, folder / f"{n}.sock", host().env, limit=2) for n in range(3)
    ]
    async with Supervisor(hosts, hear) as supervisor:
        await supervisor.ready(30)
        for one in hosts:
            async with Client(one.socket, name=one.name) as client:
                assert await client.call("echo", one.name, deadline_s=1) == one.name


async def test_a_worker_does_not_go_down_with_whoever_records_its_events(
    host: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError("disk full")

    async with Supervisor([host()], full) as supervisor:
        await supervisor.ready(30)
        async with Client(host().socket, name="echo") as client:
            assert await client.call("echo", 1, deadline_s=5) == 1
    assert "worker echo: worker.started was not recorded: OSError" in capsys.readouterr().err


async def test_a_spec_that_is_no_json_is_refused_before_anything_starts(host: Make) -> None:
    with pytest.raises(TypeError):
        Supervisor([host({"object": object()})], hear)


async def test_a_module_in_the_current_folder_shadows_nothing(
    start: Start, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "orjson.py").write_text("raise SystemExit(1)")
    monkeypatch.chdir(folder)
    async with start() as worker:
        assert await worker.client.call("echo", 1, deadline_s=5) == 1


ALONE = """
import asyncio, sys
from pathlib import Path
from gateway.worker.supervisor import Host, Supervisor

async def main():
    host = Host("echo", "echoing", {"prepare_s": float(sys.argv[2])}, Path(sys.argv[1]))
    async with Supervisor([host], lambda *_: None) as supervisor:
        print("begun", flush=True)
        await supervisor.ready(30)
        print("ready", flush=True)
        await asyncio.sleep(3600)

asyncio.run(main())
"""


@pytest.mark.parametrize(("prepare_s", "line"), [(0, "ready"), (5, "begun")])
def test_no_worker_outlives_a_supervisor_that_was_killed(host: Make, prepare_s: float, line: str) -> None:
    one = host()
    paths = [*filter(None, sys.path), one.env["PYTHONPATH"]]
    process = subprocess.Popen(
        [sys.executable, "-c", ALONE, str(one.socket), str(prepare_s)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )
    with process:
        assert process.stdout is not None
        while process.stdout.readline().strip() != line:
            continue
        pids = awaited(process.pid)
        process.kill()
    until = time.monotonic() + 5
    while any(map(running, pids)):
        assert time.monotonic() < until, pids
        time.sleep(0.02)


def awaited(pid: int) -> list[int]:
    """Its descendants, once there are any."""
    while not (pids := descendants(pid)):
        time.sleep(0.005)
    return pids


def descendants(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    below = [int(word) for task in tasks for word in (task / "children").read_text().split()]
    return below + [pid for one in below for pid in descendants(one)]


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
