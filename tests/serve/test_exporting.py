"""A gateway that exports, as an operator and a collector see it: whose trace, which texts, what is lost."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from support.collecting import Collector, collecting, plain
from support.operated import Operated, Site, family, operated, until
from support.scripted import Server, refusing

from gateway.wire import trace

pytestmark = pytest.mark.system

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CANARY = "periwinkle"


def otlp(url: str, name: str, **more: Any) -> dict[str, Any]:
    quick = {"look_s": 0.05, "wait_s": 0.05, "state": "export", "metrics_s": 0.2}
    return {"otlp": {"name": name, "endpoint": url, "headers": {"x-to": name}, **quick, **more}}


async def ask(gateway: Operated, text: str, *, streamed: bool = False, **headers: str) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": text}], "stream": streamed}
    async with gateway.client() as client:
        answered = await client.post("/v1/chat/completions", json=body, headers=headers)
        assert answered.status_code in {200, 400}


def exporter(gateway: Operated) -> list[int]:
    """The worker's processes, that hold the lock on a destination's place."""
    return [pid for pid in family(gateway.process.pid) if any("/export/" in name for name in files(pid))]


def files(pid: int) -> Sequence[str]:
    try:
        return [str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir()]
    except OSError:
        return []


def sent(collector: Collector, name: str) -> bytes:
    return b"".join(got.body for got in collector.taken if got.headers["x-to"] == name)


def names(collector: Collector) -> list[str]:
    return [span.name for span in collector.spans()]


async def test_spans_are_in_the_clients_trace_and_hold_texts_only_where_captured_and_asked_for(
    site: Site, model: Server
) -> None:
    async with collecting() as collector:
        exports = [otlp(collector.url, "plain"), otlp(collector.url, "texts", content=True)]
        site.configure(model.base_url, events={"path": "events.jsonl", "capture": "redacted"}, export=exports)
        async with operated(site) as gateway:
            await gateway.ready()
            await ask(gateway, f"{CANARY} zebra", traceparent=f"00-{TRACE}-{PARENT}-01", tracestate="vendor=1")
            await ask(gateway, f"{CANARY} zebra", streamed=True)
            await ask(gateway, f"{CANARY} forbidden")
            await until(lambda: names(collector).count("POST /v1/chat/completions") == 6)
            assert await gateway.ended(signal.SIGTERM) == 0
    ours, begun, _ = site.events("exchange.completed")
    told = [(seen.header("traceparent"), seen.header("tracestate")) for seen in model.seen]
    assert told == [
        (f"00-{TRACE}-{trace.client_span(ours['id'])}-01", "vendor=1"),
        (f"00-{trace.root(begun['id'])}-{trace.client_span(begun['id'])}-01", ""),
    ]
    spans = {(span.trace_id.hex(), span.span_id.hex()): span for span in collector.spans()}
    assert spans[TRACE, trace.server_span(ours["id"])].parent_span_id.hex() == PARENT
    for record in (ours, begun):
        client = spans[record["trace"] or trace.root(record["id"]), trace.client_span(record["id"])]
        assert client.parent_span_id.hex() == trace.server_span(record["id"])
        said = plain(client.attributes)
        assert (said["gen_ai.operation.name"], said["gen_ai.provider.name"]) == ("chat", "openai")
        assert f"http://{said['server.address']}:{said['server.port']}/v1" == model.base_url
    assert sent(collector, "plain")
    assert not [word for word in (CANARY, "zebra") if word.encode() in sent(collector, "plain")]
    contents = [said for span in collector.spans() if "gen_ai.output.messages" in (said := plain(span.attributes))]
    assert len(contents) == 2
    assert all(CANARY in said["gen_ai.input.messages"] for said in contents)
    assert not any("zebra" in said["gen_ai.output.messages"] for said in contents)


async def test_a_collector_that_is_gone_and_a_worker_that_is_killed_cost_no_exchange_and_no_span(
    site: Site, model: Server
) -> None:
    async with collecting() as collector:
        with refusing() as nobody:
            exports = [otlp(collector.url, "well"), otlp(nobody.removesuffix("/v1"), "gone")]
            site.configure(model.base_url, export=exports)
            async with operated(site) as gateway:
                await gateway.ready()
                await ask(gateway, "one")
                await until(lambda: "chat m" in names(collector))
                (failing,) = [await site.saw("export.failing")]
                assert failing["destination"] == "gone"
                for pid in exporter(gateway):
                    os.kill(pid, signal.SIGKILL)
                await asyncio.gather(*(ask(gateway, "more") for _ in range(20)))
                await until(lambda: len({s.span_id for s in collector.spans() if s.name == "chat m"}) == 21)
                await site.saw("worker.restarted")
                async with gateway.client() as client:
                    await until_shown(client, 'tidegate_export_failing{destination="gone"} 1')
                assert await gateway.ended(signal.SIGTERM) == 0
    assert {event["outcome"] for event in site.events("exchange.completed")} == {"completed"}


async def until_shown(client: Any, line: str) -> None:
    async with asyncio.timeout(60):
        while line not in (await client.get("/metrics")).text:  # noqa: ASYNC110 - asked of another process
            await asyncio.sleep(0.2)
