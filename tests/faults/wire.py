"""A client that says any bytes, and what it hears."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

import httptools
import orjson

from gateway.wire import sse


@dataclass(slots=True)
class Answer:
    """What was heard on one connection: `status` 0 where it was nothing. `seconds` until it was whole or closed."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    whole: bool = False
    closed: bool = False
    seconds: float = 0.0
    bodiless: bool = False
    parser: httptools.HttpResponseParser = field(init=False)

    def __post_init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)

    # httptools' side

    def on_headers_complete(self) -> None:
        self.status = self.parser.get_status_code()
        self.whole = self.bodiless

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.whole = self.status >= 200

    # What it comes to

    @property
    def streamed(self) -> bool:
        return self.headers.get("content-type", "").startswith("text/event-stream")

    def events(self) -> list[bytes]:
        decoder = sse.Decoder()
        return [event.data for event in decoder.feed(self.body) + decoder.finish()]

    def error(self) -> dict[str, Any]:
        """The error that ends it, whole or streamed; empty where there is none."""
        told = self.events()[-2:-1] if self.streamed else [self.body]
        found = orjson.loads(told[0]) if told else {}
        return (found.get("error") or {}) if isinstance(found, dict) else {}

    def well_formed(self) -> None:
        """An answer is JSON or ends with `[DONE]`; an error is one in OpenAI's envelope."""
        assert self.whole
        if self.streamed:
            assert self.events()[-1] == sse.DONE
            assert all(isinstance(orjson.loads(data), dict) for data in self.events()[:-1] if data)
        else:
            assert not self.body or isinstance(orjson.loads(self.body), dict)
        if self.status >= 400 and self.body:
            assert {"message", "type", "param", "code"} <= set(self.error())


async def said(port: int, *parts: bytes, patience_s: float = 20.0, pause_s: float = 0.0) -> Answer:
    """Say `parts` on a new connection; what is heard until an answer is whole or the connection closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    began = time.monotonic()
    try:
        return await _heard(reader, writer, parts, patience_s, pause_s, began)
    finally:
        writer.close()


async def _heard(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    parts: tuple[bytes, ...],
    patience_s: float,
    pause_s: float,
    began: float,
) -> Answer:
    answer = Answer(bodiless=parts[0].startswith(b"HEAD"))
    async with asyncio.timeout(patience_s):
        for part in parts:
            writer.write(part)
            await asyncio.sleep(pause_s)
        while not answer.whole and not answer.closed:
            try:
                data = await reader.read(65536)
            except ConnectionError:
                data = b""
            if data:
                answer.parser.feed_data(data)
            answer.closed = not data
    answer.seconds = time.monotonic() - began
    return answer
