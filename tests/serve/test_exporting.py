"""A gateway that exports, as a collector and the upstream see it: whose trace, and which texts."""

from __future__ import annotations

import signal
from typing import Any

import pytest
from support.collecting import Collector, collecting, plain
from support.operated import Operated, Site, operated, until
from support.scripted import Server

from gateway.wire import trace

pytestmark = pytest.mark.system

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CANARY = "periwinkle"
NOBODY = "http://127.0.0.1:9"  # the port that discards; nobody listens


def otlp(url: str, name: str, **more: Any) -> dict[str, Any]:
    quick = {"look_s": 0.05, "wait_s": 0.05, "state": "export", "metrics_s": 0.2}
    return {"otlp": {"name": name, "endpoint": url, "headers": {"x-to": name}, **quick, **more}}


async def ask(gateway: Operated, text: str, *, streamed: bool = False, **headers: str) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": text}], "stream": streamed}
    async with gateway.client() as client:
        answered = await client.post("/v1/chat/completions", json=body, headers=headers)
        assert answered.status_code in {200, 400}


def sent(collector: Collector, name: str) -> bytes:
    return b"".join(got.body for got in collector.taken if got.headers["x-to"] == name)


def names(collector: Collector) -> list[str]:
    return [span.name for span in collector.spans()]


async def test_spans_are_in_the_clients_trace_and_hold_texts_only_where_captured_and_asked_for(
    site: Site, model: Server
) -> None:
    async with collecting() as collector:
        exports = [otlp(collector.url, "plain"), otlp(collector.url, "texts", content=True), otlp(NOBODY, "gone")]
        site.configure(model.base_url, events={"path": "events.jsonl", "capture": "redacted"}, export=exports)
        async with operated(site) as gateway:
            await gateway.ready()
            await ask(gateway, f"{CANARY} zebra", traceparent=f"00-{TRACE}-{PARENT}-01", tracestate="vendor=1")
            await ask(gateway, f"{CANARY} zebra", streamed=True)
            await ask(gateway, f"{CANARY} forbidden")
            await until(lambda: names(collector).count("POST /v1/chat/completions") == 6)
            await site.saw("export.failing")
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
    assert {event["destination"] for event in site.events("export.failing")} == {"gone"}
    contents = [said for span in collector.spans() if "gen_ai.output.messages" in (said := plain(span.attributes))]
    assert len(contents) == 2
    assert all(CANARY in said["gen_ai.input.messages"] for said in contents)
    assert not any("zebra" in said["gen_ai.output.messages"] for said in contents)
