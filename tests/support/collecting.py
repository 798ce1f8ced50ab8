"""A collector on loopback that decodes what it is sent, and may be told to be slow, to refuse, or to say nothing."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

_KINDS: dict[str, Any] = {
    "/v1/traces": ExportTraceServiceRequest,
    "/v1/metrics": ExportMetricsServiceRequest,
    "/v1/logs": ExportLogsServiceRequest,
}


@dataclass(frozen=True, slots=True)
class Got:
    """One request, its body as it was sent but for compression. `message` where it is OTLP."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def message(self) -> Any:
        assert self.headers["content-type"] == "application/x-protobuf"
        kind = next(kind for end, kind in _KINDS.items() if self.path.endswith(end))
        message = kind()
        message.ParseFromString(self.body)
        return message

    @property
    def json(self) -> Any:
        assert self.headers["content-type"] == "application/json"
        return orjson.loads(self.body)


@dataclass(slots=True)
class Collector:
    """`answers` are statuses, headers and bodies for the next requests; then 200. Without `open`: silence."""

    url: str = ""
    got: list[Got] = field(default_factory=list)
    taken: list[Got] = field(default_factory=list)
    answers: list[tuple[int, str, bytes]] = field(default_factory=list)
    open: asyncio.Event = field(default_factory=asyncio.Event)

    def refuse(self, *statuses: int, head: str = "", body: bytes = b"") -> None:
        self.answers += [(status, head, body) for status in statuses]

    def spans(self) -> Iterator[Any]:
        for got in self.taken:
            if got.path.endswith("/v1/traces"):
                for resource in got.message.resource_spans:
                    for scope in resource.scope_spans:
                        yield from scope.spans

    def records(self) -> Iterator[Any]:
        for got in self.taken:
            if got.path.endswith("/v1/logs"):
                for resource in got.message.resource_logs:
                    for scope in resource.scope_logs:
                        yield from scope.log_records

    def metrics(self) -> dict[str, Any]:
        """Of the last request that had some, by name."""
        last = [got for got in self.taken if got.path.endswith("/v1/metrics")][-1]
        scopes = [scope for resource in last.message.resource_metrics for scope in resource.scope_metrics]
        return {metric.name: metric for scope in scopes for metric in scope.metrics}

    def posted(self, end: str) -> list[Any]:
        """JSON bodies of what was posted to paths that end so."""
        return [got.json for got in self.taken if got.path.partition("?")[0].endswith(end)]


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    collector = Collector()
    collector.open.set()
    tasks: set[asyncio.Task[None]] = set()
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await _head(reader):
            path, headers = head
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            plain = gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body
            got = Got(path, headers, plain)
            collector.got.append(got)
            await collector.open.wait()
            status, more, answer = collector.answers.pop(0) if collector.answers else (200, "", b"")
            if status < 300:
                collector.taken.append(got)
            writer.write(b"HTTP/1.1 %d Said\r\n%scontent-length: %d\r\n\r\n" % (status, more.encode(), len(answer)))
            writer.write(answer)
            await writer.drain()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        task = asyncio.create_task(serve(reader, writer))
        tasks.add(task)

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as server:
        collector.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield collector
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in writers:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in writers), return_exceptions=True)


async def _head(reader: asyncio.StreamReader) -> tuple[str, dict[str, str]] | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    first, *lines = head.decode().split("\r\n")[:-2]
    method, path, _ = first.split(" ")
    assert method == "POST"
    pairs = (line.split(": ", 1) for line in lines)
    return path, {name.lower(): value for name, value in pairs}


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not done():  # noqa: ASYNC110 - what is waited for happens in other tasks and processes
            await asyncio.sleep(0.02)


def plain(pairs: Any) -> dict[str, Any]:
    """Attributes of a message as Python has them."""
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(one) for one in value.array_value.values]
    return getattr(value, kind)
