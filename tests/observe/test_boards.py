"""Dashboards and rules ask for what `/metrics` has, in words Prometheus takes, and get an answer."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import httpx
import promql_parser
import pytest
import yaml
from support.exchanges import finished

from gateway.exchange import Judgement
from gateway.observe.boards import BOARDS, board
from gateway.observe.instruments import Histogram
from gateway.observe.metrics import Metrics
from gateway.record import completed
from gateway.serve.tally import Tally

CONFIG = Path(__file__).resolve().parents[2] / "config"
RULES = CONFIG / "prometheus" / "rules.yml"
LABEL = re.compile(r"\{\{(\w+)\}\}")
PANELS = [(name, panel) for name, panels in BOARDS.items() for panel in board(name, panels)["panels"]]
QUERIES = [(f"{name}: {panel['title']}", target["expr"]) for name, panel in PANELS for target in panel["targets"]]
ALERTS = [
    (rule.get("alert") or rule["record"], rule["expr"])
    for group in yaml.safe_load(RULES.read_text())["groups"]
    for rule in group["rules"]
]


def filled(expr: str) -> str:
    """A query as Grafana sends it."""
    return expr.replace("$__rate_interval", "5s").replace("$__range", "10s").replace("$route", ".*")


def selected(expr: str) -> set[str]:
    """Names of metrics that a query selects."""
    promql_parser.parse(expr)
    return set(re.findall(r"\b(?:route:)?tidegate_\w+(?::\w+)?|\bup\b", expr))


def known() -> set[str]:
    instruments = [*Metrics().instruments()]
    names = {one.name for one in instruments} | {
        f"{one.name}_{part}" for one in instruments if isinstance(one, Histogram) for part in ("bucket", "sum", "count")
    }
    own = set(re.findall(r"^# TYPE (\w+)", Tally().summed([]), re.MULTILINE))
    return names | own | {"up", *(name for name, _ in ALERTS)}


@pytest.mark.parametrize(("where", "expr"), [*QUERIES, *ALERTS])
def test_a_query_parses_and_selects_what_there_is(where: str, expr: str) -> None:
    names = selected(filled(expr))
    assert names, where
    assert names <= known()


def test_labels_of_a_legend_are_labels_of_the_query() -> None:
    for name, panel in PANELS:
        for target in panel["targets"]:
            grouped = {word.strip() for by in re.findall(r"by \(([^)]*)\)", target["expr"]) for word in by.split(",")}
            assert set(LABEL.findall(target["legendFormat"])) <= grouped, (name, panel["title"])


@pytest.mark.parametrize("name", BOARDS)
def test_panels_have_numbers_of_their_own_and_lie_beside_each_other(name: str) -> None:
    panels = board(name, BOARDS[name])["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for one, other in combinations([panel["gridPos"] for panel in panels], 2):
        apart = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert apart or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in panels)


def test_the_files_are_what_the_code_makes() -> None:
    for name, panels in BOARDS.items():
        file = CONFIG / "grafana" / "dashboards" / f"{name}.json"
        assert json.loads(file.read_text()) == board(name, panels), "make docs"


def test_every_alert_says_what_it_means_and_what_to_do() -> None:
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        for rule in group["rules"]:
            assert "alert" not in rule or {"summary", "action"} <= set(rule["annotations"]), rule


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed (Debian: prometheus)")
def test_rules_do_what_their_tests_say() -> None:
    for words in (["check", "rules", str(RULES)], ["test", "rules", str(RULES.with_name("rules_test.yml"))]):
        done = subprocess.run(["promtool", *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(not shutil.which("amtool"), reason="amtool is not installed (Debian: prometheus-alertmanager)")
def test_alertmanager_takes_its_file() -> None:
    file = RULES.with_name("alertmanager.yml")
    assert subprocess.run(["amtool", "check-config", str(file)], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed (Debian: prometheus)")
def test_metrics_are_as_promtool_wants_them() -> None:
    metrics = Metrics()
    busy(metrics, 1)
    said = b"\n".join(line for line in metrics.render().splitlines() if b"tidegate_" in line) + b"\n"
    done = subprocess.run(["promtool", "check", "metrics"], input=said, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def busy(metrics: Metrics, step: int) -> None:
    """Count exchanges of every kind that dashboards tell apart."""
    answered = finished()
    answered.judgements += [Judgement("output", "words", "redact", ("w",), 1, seconds=0.001)]
    blocked = finished()
    blocked.outcome, blocked.status, blocked.error = "blocked", 400, "content_filter"
    blocked.judgements[:] = [Judgement("input", "jailbreak", "block", ("r",), 1, seconds=0.002)]
    broken = finished()
    broken.outcome, broken.status, broken.error = "failed", 502, "upstream_broken"
    for exchange in (answered, blocked, broken):
        exchange.timing = replace(exchange.timing, finished=12.5 + step / 100)
        metrics.observe(completed(exchange))
    metrics.scored("m", {"groundedness": 0.4 + step / 1000, "relevance": 0.7})
    metrics.scores.add(("scored",))
    metrics.restarts.add(("scorer",))
    metrics.upstream_faults.add(("up", "reset"))
    metrics.upstreams = lambda: [("up", 1.0, 2.0, 0.0, 0.1)]


@pytest.mark.system
@pytest.mark.skipif(not shutil.which("prometheus"), reason="prometheus is not installed (Debian: prometheus)")
async def test_a_real_prometheus_answers_every_query_of_the_dashboards(tmp_path: Path) -> None:
    metrics, tally = Metrics(), Tally()
    async with scraped(metrics, tally, tmp_path) as base, httpx.AsyncClient(base_url=base, timeout=30) as client:
        for step in range(12):
            busy(metrics, step)
            await asyncio.sleep(0.5)
        empty = [where for where, expr in QUERIES if not await answers(client, filled(expr))]
        assert empty == []
        rules = (await client.get("/api/v1/rules")).json()["data"]["groups"]
        assert [rule["name"] for group in rules for rule in group["rules"] if rule["health"] == "err"] == []


async def answers(client: httpx.AsyncClient, expr: str) -> list[Any]:
    said = (await client.get("/api/v1/query", params={"query": expr})).json()
    assert said["status"] == "success", (expr, said)
    found: list[Any] = said["data"]["result"]
    return found


@asynccontextmanager
async def scraped(metrics: Metrics, tally: Tally, folder: Path) -> AsyncIterator[str]:
    """A Prometheus that asks for `metrics` twice a second; its address."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = tally.summed([metrics.render().decode()]).encode()
        head = (
            f"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        started = prometheus(folder, port)
        base = await asyncio.to_thread(started.__enter__)
        try:
            yield base
        finally:
            await asyncio.to_thread(started.__exit__, None, None, None)


@contextmanager
def prometheus(folder: Path, target: int) -> Iterator[str]:
    """The real one, with our settings but for its pace and its target; its address."""
    port = free_port()
    process = subprocess.Popen(
        [
            "prometheus",
            f"--config.file={configured(folder, target)}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=error",
        ]
    )
    base = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + 60
        while not _ready(base):
            assert time.monotonic() < until, "prometheus is not ready"
            time.sleep(0.1)
        yield base
    finally:
        process.terminate()
        process.wait(30)


def configured(folder: Path, target: int) -> Path:
    settings = yaml.safe_load(RULES.with_name("prometheus.yml").read_text())
    settings["global"] = {"scrape_interval": "500ms", "scrape_timeout": "400ms", "evaluation_interval": "1s"}
    settings["scrape_configs"][0]["static_configs"] = [{"targets": [f"127.0.0.1:{target}"]}]
    settings["rule_files"] = [str(RULES)]
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(settings))
    return file


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def _ready(base: str) -> bool:
    try:
        return httpx.get(f"{base}/-/ready").status_code == 200
    except httpx.TransportError:
        return False
