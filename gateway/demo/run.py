"""Runs the demo: a gateway of its own in a child process, the cases one after the other, one table."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from asyncio.subprocess import Process
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import openai
import orjson
import uvicorn
import yaml
from rich import box
from rich.console import Console
from rich.table import Table

from gateway.config.schema import EmbeddedSpec
from gateway.demo.cases import CASES, Result, Stage
from gateway.demo.upstream import Upstream
from gateway.upstream.embedded import free_port, running

READY_S = 180.0
SCORED_S = 20.0
APART = 0.3
"""Groundedness of the grounded answer less that of the ungrounded one must be at least this."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """The gateway under demonstration."""

    url: str
    events: Path


def main(policies: Path, console: Console) -> int:
    """Run every case. 0 only if each came out as it should."""
    return asyncio.run(_main(policies, console))


async def _main(policies: Path, console: Console) -> int:
    async with AsyncExitStack() as stack:
        status = stack.enter_context(console.status("Starting the model, its upstreams and the gateway …"))
        upstream, gateway = await _started(stack, policies)
        client = openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="unused", max_retries=0)
        stage = Stage(await stack.enter_async_context(client), upstream)
        results = []
        for case in CASES:
            status.update(f"{case.__name__} …")
            results.append(await case(stage))
        status.update("Waiting for the scores …")
        await _with_events(results, gateway)
        status.stop()
        _judge(results)
        console.print(_table(results))
        _reported(gateway.events, console)
    wrong = [f"{r.label}: {r.wrong}" for r in results if r.wrong]
    console.print("\n".join(wrong) if wrong else "Every row came out as expected.")
    return 1 if wrong else 0


async def _started(stack: AsyncExitStack, policies: Path) -> tuple[Upstream, Gateway]:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tidegate-demo-")))
    model = await stack.enter_async_context(running(EmbeddedSpec(name="noted", kind="embedded"), free_port()))
    upstream = Upstream(model, forbidden_word(policies))
    base = await stack.enter_async_context(_served(upstream))
    config = folder / "gateway.yaml"
    port = free_port()
    config.write_text(yaml.safe_dump(configuration(policies, folder, base, port)))
    gateway = Gateway(f"http://127.0.0.1:{port}", folder / "events.jsonl")
    await stack.enter_async_context(_gateway(config, gateway))
    return upstream, gateway


def configuration(policies: Path, folder: Path, base: str, port: int) -> dict[str, Any]:
    """A gateway with the shipped policies, the embedded model and the demo's own upstreams."""
    scripted = {"kind": "openai", "base_url": f"{base}/scripted/v1", "price": {"input": 0.15, "output": 0.6}}
    noted = {"kind": "openai", "base_url": f"{base}/noted/v1", "price": {"input": 0.0, "output": 0.0}}
    return {
        "server": {"port": port},
        "policies": str(policies),
        "events": {"path": str(folder / "events.jsonl")},
        "upstreams": [
            {"name": "local", "kind": "embedded"},
            {"name": "noted", **noted},
            {"name": "scripted", **scripted},
        ],
        "routes": [
            {"model": "default", "upstreams": ["local"], "policy": "default"},
            {"model": "noted", "upstreams": ["noted"], "policy": "default"},
            {"model": "turns", "upstreams": ["scripted"], "policy": "support-bot"},
            {"model": "grounded", "upstreams": ["scripted"], "policy": "rag"},
            {"model": "ungrounded", "upstreams": ["scripted"], "policy": "rag"},
        ],
    }


def forbidden_word(policies: Path) -> str:
    """A word that the shipped support policy's ban list forbids."""
    spec = yaml.safe_load((policies / "guards" / "conduct.yaml").read_text())
    ban = next(v for v in spec["validators"] if v["id"] == "guardrails/ban_list")
    return str(ban["args"]["banned_words"][0])


@asynccontextmanager
async def _served(upstream: Upstream) -> AsyncGenerator[str, None]:
    port = free_port()
    settings = uvicorn.Config(upstream.app(), port=port, log_level="critical", lifespan="off")
    server = uvicorn.Server(settings)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]  # signals are the demo's own
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has a flag, no event
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await task


@asynccontextmanager
async def _gateway(config: Path, gateway: Gateway) -> AsyncGenerator[None, None]:
    """`tidegate serve`, as a user starts it, until ready."""
    command = [sys.executable, "-m", "gateway", "serve", "--config", str(config)]
    said = config.with_suffix(".log")
    with said.open("wb") as log:
        process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log)
    try:
        if not await _ready(gateway.url, process):
            raise RuntimeError(f"the gateway did not start: {said.read_text()}")
        yield
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def _ready(url: str, process: Process) -> bool:
    async with asyncio.timeout(READY_S), httpx.AsyncClient(trust_env=False) as client:
        while process.returncode is None:
            with suppress(httpx.TransportError):
                if (await client.get(f"{url}/readyz")).status_code == 200:
                    return True
            await asyncio.sleep(0.1)
    return False


async def _with_events(results: Sequence[Result], gateway: Gateway) -> None:
    """Join each result with its record and its scores; the scorer may take a moment."""
    completed = _events(gateway, "exchange.completed")
    wanted = {event["id"] for event in completed if event["outcome"] == "completed"}
    scores: dict[str, dict[str, float]] = {}
    async with asyncio.timeout(SCORED_S):
        while not wanted <= scores.keys():
            await asyncio.sleep(0.1)
            scores = {event["id"]: event["scores"] for event in _events(gateway, "score.recorded")}
    for result, event in zip(results, completed, strict=True):
        result.event = event
        result.scores = scores.get(event["id"], {})


def _events(gateway: Gateway, name: str) -> list[dict[str, Any]]:
    lines = gateway.events.read_bytes().splitlines() if gateway.events.exists() else []
    return [event for line in lines if (event := orjson.loads(line))["event"] == name]


def _judge(results: Sequence[Result]) -> None:
    """What only the records can tell: who decided, and how far apart the two scored answers are."""
    jailbreak, turns, good, bad = results[3:]
    if not any(j["rail"] == "jailbreak" and j["action"] == "block" for j in jailbreak.event["judgements"]):
        jailbreak.wrong = jailbreak.wrong or "no NeMo rail refused it"
    if jailbreak.event["tried"]:
        jailbreak.wrong = "it was sent to a model"
    if not any(j["rail"] == "conduct" and j["action"] == "block" for j in turns.event["judgements"]):
        turns.wrong = turns.wrong or "no Guardrails AI rail cut it"
    apart = good.scores.get("groundedness", 0.0) - bad.scores.get("groundedness", 1.0)
    if apart < APART:
        bad.wrong = f"groundedness is only {apart:.2f} below the grounded answer's"


def _reported(events: Path, console: Console) -> None:
    """`tidegate report` of what just happened, where its extra is installed."""
    if find_spec("duckdb") is None:
        console.print("pip install 'tidegate[report]', and here follows what `tidegate report` says of it.")
        return
    from gateway.report.figures import report  # noqa: PLC0415 - an extra, which was looked for
    from gateway.report.log import opened  # noqa: PLC0415
    from gateway.report.screen import show  # noqa: PLC0415

    console.print("[bold]tidegate report[/] says of them:\n")
    with opened([events]) as log:
        show(report(log, ("model", "policy"), {}), console)


_HEADS = ("", "request", "verdict", "decided", "grounded", "relevant", "tokens", "cost $", "first ms", "total ms")
_WORDS = 4  # columns of words, on the left; the rest are figures


def _table(results: Sequence[Result]) -> Table:
    table = Table(title="Tidegate: seven exchanges", title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for place, head in enumerate(_HEADS):
        table.add_column(head, justify="left" if place < _WORDS else "right", no_wrap=True)
    for result in results:
        table.add_row(*_row(result))
    return table


def _row(result: Result) -> tuple[str, ...]:
    event = result.event
    return (
        "[red]✗[/]" if result.wrong else "[green]✓[/]",
        result.label,
        event["verdict"],
        ", ".join(j["rail"] for j in event["judgements"] if j["action"] != "allow") or "–",
        _figure(result.scores.get("groundedness"), ".2f"),
        _figure(result.scores.get("relevance"), ".2f"),
        f"{event['input_tokens']}+{event['output_tokens']}",
        f"{event['cost_usd']:.6f}",
        _figure(event["first_token_ms"], ".0f"),
        _figure(event["total_ms"], ".0f"),
    )


def _figure(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)
