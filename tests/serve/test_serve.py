"""`tidegate serve` as an operator meets it: what it says, how it stops, what it leaves behind."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from support.answers import delta, deltas, event, opened, sent, stream
from support.operated import PATIENCE_S, Operated, Site, alive, family, operated, until
from support.script import Hang, Script
from support.scripted import Server

pytestmark = pytest.mark.system


def asked(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": text}], **more}


async def test_it_says_where_it_is_and_what_to_try(site: Site) -> None:
    async with operated(site) as gateway:
        await gateway.ready()
        assert f"curl {gateway.url}/v1/chat/completions" in "".join(gateway.said)
        async with gateway.client() as client:
            answered = await client.post("/v1/chat/completions", json=asked("a zebra"))
        assert answered.json()["choices"][0]["message"]["content"] == "a [REDACTED]"
        assert await gateway.ended(signal.SIGTERM) == 0
    started, stopped = site.events("server.started"), site.events("server.stopped")
    assert [*started[0]["policies"]] == ["default"]
    assert started[0]["policies"]["default"] == site.events("exchange.completed")[0]["policy_digest"]
    assert [(e["reason"], e["cancelled"]) for e in stopped] == [("SIGTERM", 0)]


async def test_a_stream_under_way_is_finished_and_nobody_new_let_in(site: Site, model: Server) -> None:
    model.play(stream(deltas(["one ", "two ", "three ", "four"]), 0.3))
    async with operated(site) as gateway:
        await gateway.ready()
        async with (
            gateway.client() as client,
            client.stream("POST", "/v1/chat/completions", json=asked("go", stream=True)) as got,
        ):
            lines = got.aiter_lines()
            said = [await anext(lines)]
            gateway.process.send_signal(signal.SIGTERM)
            await gateway.heard("Stopping")
            await until(lambda: refused(gateway.url))
            said += [line async for line in lines]
        assert "data: [DONE]" in said
        assert "".join(said).count('"content"') == 5
        assert await gateway.ended() == 0
    (done,) = site.events("exchange.completed")
    assert done["outcome"] == "completed"


async def test_what_outlasts_the_drain_is_cut_off_and_on_record(site: Site, model: Server) -> None:
    site.configure(model.base_url, server={"port": 0, "drain_s": 1})
    model.play(endless())
    async with operated(site) as gateway:
        await gateway.ready()
        async with (
            gateway.client() as client,
            client.stream("POST", "/v1/chat/completions", json=asked("go", stream=True)) as got,
        ):
            lines = got.aiter_lines()  # kept, or the client would leave
            await anext(lines)
            assert await gateway.ended(signal.SIGINT) == 0
    assert site.events("server.stopped")[0]["cancelled"] == 1
    assert site.events("server.stopped")[0]["reason"] == "SIGINT"
    assert [e["outcome"] for e in site.events("exchange.completed")] == ["cancelled"]


async def test_a_second_signal_stops_at_once(site: Site, model: Server) -> None:
    model.play(endless())
    site.configure(model.base_url, server={"port": 0, "drain_s": 600})
    async with operated(site) as gateway:
        await gateway.ready()
        async with (
            gateway.client() as client,
            client.stream("POST", "/v1/chat/completions", json=asked("go", stream=True)) as got,
        ):
            lines = got.aiter_lines()
            await anext(lines)
            gateway.process.send_signal(signal.SIGTERM)
            await gateway.heard("Stopping")
            assert await gateway.ended(signal.SIGTERM) == 1


async def test_nothing_survives_the_supervisors_violent_end(site: Site) -> None:
    site.policy(input=[{"pii": {}}])
    async with operated(site) as gateway:
        await gateway.ready()
        children = family(gateway.process.pid)
        assert len(children) >= 3  # an HTTP process, a template and its server
        await gateway.ended(signal.SIGKILL)
        await until(lambda: not any(map(alive, children)))


async def test_a_taken_port_is_told_with_what_to_do(site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with operated(site, "--port", str(port)) as gateway:
            assert await gateway.ended() == 1
            said = "".join(gateway.said)
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in said
    assert "--port" in said
    assert "--next-port" in said


async def test_the_next_port_is_taken_and_told(site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with operated(site, "--port", str(port), "--next-port") as gateway:
            await gateway.ready()
            assert f"Port {port} is taken; using {httpx.URL(gateway.url).port} instead." in "".join(gateway.said)
            assert httpx.URL(gateway.url).port != port


@pytest.mark.engine
async def test_a_validator_that_is_not_there_ends_the_start_with_its_place(site: Site) -> None:
    site.policy(input=[{"guardrails": {"spec": "guard.txt"}}])
    guard = site.policies / "guard.txt"
    guard.write_text("validators:\n  - {id: guardrails/ban_lst, args: {banned_words: [x]}}\n")
    async with operated(site) as gateway:
        assert await gateway.ended() == 1
        said = "".join(gateway.said)
    assert f"{guard}:2: guardrails/ban_lst" in said
    assert "guardrails/ban_list" in said
    assert "ready at" not in said


async def test_an_http_process_that_cannot_start_ends_the_start(site: Site, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "uvloop.py").write_text("raise ImportError('no loop here')\n")
    async with operated(site, env={"PYTHONPATH": str(broken)}) as gateway:
        assert await gateway.ended() == 1
        said = "".join(gateway.said)
    assert "no loop here" in said
    assert "the HTTP process cannot start: exit 1" in said


@pytest.mark.engine
async def test_ctrl_c_during_the_start_is_heard(site: Site) -> None:
    site.policy(input=[{"guardrails": {"spec": "guard.txt"}}])
    (site.policies / "guard.txt").write_text("validators:\n  - {id: guardrails/valid_length, args: {max: 9}}\n")
    async with operated(site) as gateway:
        await site.saw("worker.started")  # of the HTTP process, which is there long before the library
        assert await gateway.ended(signal.SIGINT) == 0
        assert "ready at" not in "".join(gateway.said)


async def test_what_cannot_be_recorded_is_not_begun(site: Site, model: Server) -> None:
    site.configure(model.base_url, events={"path": "/dev/full"})
    async with operated(site) as gateway:
        await gateway.ready()
        async with gateway.client() as client:
            answered = await client.post("/v1/chat/completions", json=asked("hello"))
    assert answered.status_code == 503
    assert answered.json()["error"]["code"] == "audit_unavailable"
    assert model.seen == []


async def test_a_worker_that_dies_is_counted(site: Site) -> None:
    site.policy(input=[{"pii": {}}])
    async with operated(site) as gateway:
        await gateway.ready()
        (worker,) = [event for event in site.events("worker.started") if event["worker"] == "pii"]
        killed(worker["pid"])
        restarted = await site.saw("worker.restarted")
        assert (restarted["worker"], restarted["reason"]) == ("pii", "SIGKILL")
        assert 'tidegate_worker_restarts_total{worker="pii"} 1.0' in await scraped(gateway)


async def test_events_on_standard_output_are_alone_there(site: Site, model: Server) -> None:
    site.configure(model.base_url, events={"path": "-"})
    command = [sys.executable, "-m", "gateway", "serve", "--config", str(site.file)]
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    async with asyncio.timeout(PATIENCE_S):
        while b"ready at" not in await process.stderr.readline():
            pass
        process.terminate()
        out, _ = await process.communicate()
    assert [orjson.loads(line)["event"] for line in out.splitlines()][-1] == "server.stopped"


class TestManyProcesses:
    """Two HTTP processes behind one socket."""

    async def test_metrics_are_of_all_of_them_and_outlive_them(self, site: Site, model: Server) -> None:
        site.configure(model.base_url, server={"port": 0, "workers": 2})
        async with operated(site) as gateway:
            await gateway.ready()
            await asyncio.gather(*(once(gateway) for _ in range(40)))
            assert {await exchanges(gateway) for _ in range(6)} == {40.0}
            by = {event["process"] for event in site.events("exchange.completed")}
            front = by.pop()
            killed(front)
            await site.saw("worker.restarted")
            assert {await exchanges(gateway) for _ in range(6)} == {40.0}
            assert 'tidegate_worker_restarts_total{worker="http"} 1.0' in await scraped(gateway)
            restarted = await site.saw("worker.restarted")
        assert (restarted["worker"], restarted["reason"]) == ("http", "killed by SIGKILL")


def endless() -> Script:
    """A stream that says a word and never ends."""
    return Script((*opened(), *sent([event(delta("word ", role="assistant"))]), Hang()))


def refused(url: str) -> bool:
    where = httpx.URL(url)
    with socket.socket() as sock:
        return sock.connect_ex((where.host, where.port or 0)) != 0


async def once(gateway: Operated) -> None:
    async with gateway.client() as client:
        assert (await client.post("/v1/chat/completions", json=asked("hello"))).status_code == 200


async def scraped(gateway: Operated) -> str:
    async with gateway.client() as client:
        return (await client.get("/metrics")).text


async def exchanges(gateway: Operated) -> float:
    lines = (await scraped(gateway)).splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("tidegate_exchanges_total{"))


def killed(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
