"""Reloads (SIGHUP) and rolling restarts (SIGUSR2) under load: requests on kept and on new connections, and streams.

Nothing is tried again: a connection that is closed where the gateway did not say so is a failure.
"""

from __future__ import annotations

import asyncio
import itertools
import signal
import time
from dataclasses import dataclass, field

import orjson
from support.answers import answer, completion, deltas, stream
from support.operated import Operated, Site, operated
from support.script import Script, Seen
from support.scripted import Server

KEPT, FRESH, STREAMING = 8, 4, 12  # clients of each kind
WORDS = [f"word{n} " for n in range(30)]
STEP_S = 120.0  # for one reload, or one rolling restart


@dataclass(slots=True)
class Rolled:
    """What a run came to. `wrong` says what nobody should have met."""

    answered: int = 0
    streamed: int = 0
    reloaded: int = 0
    renewed: int = 0
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)


class Line:
    """One connection, opened anew only where the gateway said that it closes."""

    def __init__(self, host: str, port: int) -> None:
        self._at = host, port
        self._both: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, body: bytes, *, keep: bool) -> tuple[int, bytes]:
        """Status and body. Raises OSError or EOFError where the connection fails."""
        reader, writer = self._both or await asyncio.open_connection(*self._at)
        self._both = None
        writer.write(_request(body, keep=keep))
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        if b"transfer-encoding: chunked" in head:
            content = await reader.readuntil(b"\r\n0\r\n\r\n")
        else:
            content = await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r")[0]))
        if keep and b"connection: close" not in head:
            self._both = reader, writer
        else:
            writer.close()
        return int(head[9:12]), content

    def close(self) -> None:
        if self._both:
            self._both[1].close()


def _request(body: bytes, *, keep: bool) -> bytes:
    closing = b"" if keep else b"connection: close\r\n"
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    return head + closing + b"content-length: %d\r\n\r\n" % len(body) + body


async def run(site: Site, model: Server, *, reloads: int, renewals: int, requests: int, streams: int) -> Rolled:
    """At least so many `requests` and `streams` while the gateway is reloaded and renewed so many times."""
    model.default = _play
    site.configure(model.base_url, server={"port": 0, "workers": 2, "drain_s": 30})
    rolled, done, began = Rolled(), asyncio.Event(), time.monotonic()
    async with operated(site) as gateway:
        await gateway.ready()
        async with asyncio.TaskGroup() as group:
            for n in range(KEPT + FRESH):
                group.create_task(_asking(gateway, rolled, done, keep=n < KEPT, streamed=False))
            for _ in range(STREAMING):
                group.create_task(_asking(gateway, rolled, done, keep=True, streamed=True))
            for n in range(max(reloads, renewals)):
                await _enough(rolled, requests * n // max(reloads, renewals))
                if n < reloads:
                    await _reload(site, gateway, rolled, n)
                if n < renewals:
                    await _renew(gateway, site, rolled, n)
            while rolled.answered < requests or rolled.streamed < streams:  # noqa: ASYNC110 - numbers that grow
                await asyncio.sleep(0.05)
            done.set()
        rolled.seconds = time.monotonic() - began
    records = {event["id"] for event in site.events("exchange.completed")}
    if len(records) != rolled.answered + rolled.streamed + len(rolled.wrong):
        rolled.wrong.append(f"{len(records)} records")
    return rolled


def _play(seen: Seen) -> Script:
    if seen.json().get("stream"):
        return stream(deltas(WORDS), 0.05)
    return answer(completion("a word"))


async def _enough(rolled: Rolled, requests: int) -> None:
    while rolled.answered < requests:  # noqa: ASYNC110 - a number that grows
        await asyncio.sleep(0.05)


async def _reload(site: Site, gateway: Operated, rolled: Rolled, n: int) -> None:
    site.policy(output=[{"pattern": {"deny": [f"zebra{n}"], "action": "redact"}}])
    gateway.process.send_signal(signal.SIGHUP)
    async with asyncio.timeout(STEP_S):
        await site.saw("config.reloaded", n + 1)
    rolled.reloaded += 1


async def _renew(gateway: Operated, site: Site, rolled: Rolled, n: int) -> None:
    gateway.process.send_signal(signal.SIGUSR2)
    async with asyncio.timeout(STEP_S):
        while "".join(gateway.said).count("Every HTTP process is a new one.") <= n:  # noqa: ASYNC110 - it says so
            await asyncio.sleep(0.05)
    rolled.renewed = len(site.events("worker.restarted"))


async def _asking(gateway: Operated, rolled: Rolled, done: asyncio.Event, *, keep: bool, streamed: bool) -> None:
    host, _, port = gateway.url.rpartition("/")[2].partition(":")
    line = Line(host, int(port))
    for n in itertools.count():
        if done.is_set():
            break
        messages = [{"role": "user", "content": f"go {n}"}]
        body = orjson.dumps({"model": "m", "stream": streamed, "messages": messages})
        try:
            status, content = await line.ask(body, keep=keep)
        except (OSError, EOFError) as error:
            rolled.wrong.append(f"{'stream' if streamed else 'request'}, {keep=}: {error!r}")
            continue
        whole = content.count(b"word") == len(WORDS) and b"[DONE]" in content if streamed else b"a word" in content
        if status != 200 or not whole:
            rolled.wrong.append(f"status {status}: {content[-200:]!r}")
        elif streamed:
            rolled.streamed += 1
        else:
            rolled.answered += 1
        await asyncio.sleep(0.002)
    line.close()
