"""The supervisor's side of the monitor: what it is told, what it found is logged, shown at `/metrics` and posted."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from gateway.app import events_path
from gateway.config.monitor import Monitor, SignalHook, Signals, SignalSpec
from gateway.config.schema import Config
from gateway.errors import TidegateError, WorkerError
from gateway.observe.log import Log
from gateway.serve.tally import Tally
from gateway.upstream.pool import open_pool
from gateway.upstream.post import Post
from gateway.worker.client import Client

NAME = "monitor"
ENGINE = "gateway.monitor.engine"

ASK_S = 5.0  # between two questions for news
ANSWER_S = 30.0
LONGEST_S = 300.0  # between two tries to post
WAITING = 64  # events that wait to be posted; the monitor keeps what is beyond

Entry = tuple[int, str, Mapping[str, Any]]


def spool(config: Config) -> Path | None:
    """Where the scorer leaves its vectors; None where nobody watches."""
    monitor = config.gateway.monitor
    return None if monitor is None else state(config, monitor) / "vectors"


def state(config: Config, monitor: Monitor) -> Path:
    return (config.file.parent / monitor.state).resolve()


def spec(config: Config) -> dict[str, Any] | None:
    """What the monitor is told; None where there is none."""
    monitor = config.gateway.monitor
    if monitor is None:
        return None
    drift, signals, folder = monitor.drift, monitor.signals, state(config, monitor)
    told: dict[str, Any] = {
        "events": events_path(config),
        "spool": str(folder / "vectors"),
        "state": str(folder),
        "routes": list(monitor.routes),
        "look_s": monitor.look_s,
        "rows": drift.reference,
        "golden": None if monitor.golden is None else str((config.file.parent / monitor.golden).resolve()),
        **drift.model_dump(exclude={"reference", "words"}),
        "signals": {name: _terms(one) for name in Signals.model_fields if (one := getattr(signals, name)) is not None},
    }
    if signals.accuracy:
        told |= {"drop": signals.accuracy.drop, "accuracy": signals.accuracy.baseline}
    if signals.topics:
        told |= {"share": signals.topics.share}
    if signals.complaints:
        one = signals.complaints
        told |= {"rise": one.rise, "least": one.least, "complaints": one.baseline}
    return {"watch": told}


def _terms(signal: SignalSpec) -> dict[str, Any]:
    return signal.model_dump(include=set(SignalSpec.model_fields))


@dataclass(slots=True, eq=False)
class Watching:
    """Asks the monitor of whichever configuration stands. `start` may be called again; `close` ends it."""

    log: Log
    tally: Tally
    task: asyncio.Task[None] | None = None
    told: tuple[str, SignalHook | None] | None = None

    async def follow(self, address: str | None, hook: SignalHook | None) -> None:
        """From now on ask the monitor at `address`, or none."""
        told = None if address is None else (address, hook)
        if told == self.told:
            return
        await self.close()
        self.told = told
        if address is not None:
            self.task = asyncio.create_task(self._run(Path(address), hook), name=NAME)

    async def close(self) -> None:
        task, self.task, self.told, self.tally.watched = self.task, None, None, ""
        if task:
            task.cancel()
            await asyncio.wait([task])

    async def _run(self, address: Path, hook: SignalHook | None) -> None:
        async with Client(address, name=NAME) as client, open_pool() as pool, asyncio.TaskGroup() as group:
            asking = Asking(client, self.log, self.tally)
            if hook:
                asking.hook = Hook(hook, Post(pool), self.log, asking.queue)
                group.create_task(asking.hook.run())
            await asking.run()


@dataclass(slots=True, eq=False)
class Asking:
    """`logged` is the number of the last event that is in the log. What it was before, the monitor knows."""

    client: Client
    log: Log
    tally: Tally
    hook: Hook | None = None
    logged: int = 0
    queued: int = 0
    queue: asyncio.Queue[Entry] = field(default_factory=lambda: asyncio.Queue(WAITING))

    async def run(self) -> None:
        while True:
            with suppress(WorkerError):  # it is being started again, and has kept what we did not take
                await self.ask()
            await asyncio.sleep(ASK_S)

    async def ask(self) -> None:
        posted = self.hook.posted if self.hook else self.logged
        news = await self.client.call("news", {"logged": self.logged, "posted": posted}, deadline_s=ANSWER_S)
        self.tally.watched = news["metrics"]
        self.logged = news["logged"]  # less than ours where the monitor lost its memory
        if news["number"] < self.queued and self.hook:
            self.queued = self.hook.posted = 0
        self.queued = max(self.queued, news["posted"])
        self._log(news["entries"])
        self._queue(news["entries"])

    def _log(self, entries: Sequence[Entry]) -> None:
        for number, event, fields in entries:
            if number > self.logged:
                if not self.log.emit(event, **fields):
                    return
                self.logged = number

    def _queue(self, entries: Sequence[Entry]) -> None:
        for number, event, fields in entries:
            if number > self.queued and self.hook and not self.queue.full():
                self.queue.put_nowait((number, event, fields))
                self.queued = number


@dataclass(slots=True, eq=False)
class Hook:
    """Posts signals, one after the other. `posted` is the number of the last that was dealt with."""

    spec: SignalHook
    post: Post
    log: Log
    queue: asyncio.Queue[Entry]
    posted: int = 0

    async def run(self) -> None:
        while True:
            number, event, fields = await self.queue.get()
            if event.startswith("signal."):
                await self._deliver(number, event, fields)
            self.posted = max(self.posted, number)

    async def _deliver(self, number: int, event: str, fields: Mapping[str, Any]) -> None:
        """Until it was taken (a status of 2xx), refused (any other 4xx but 408 and 429), or tried often enough."""
        body = orjson.dumps({"event": event, **fields})
        headers = {"x-tidegate-event": f"{fields['signal']}-{number}", **self._headers(body)}
        wait, reason = self.spec.wait_s, ""
        for left in reversed(range(self.spec.tries)):
            try:
                status, _ = await self.post.post(self.spec.url, body, headers, deadline_s=self.spec.deadline_s)
                reason = "" if 200 <= status < 300 else f"status {status}"
            except TidegateError as error:
                status, reason = 0, error.message
            if not reason or not left or (400 <= status < 500 and status not in {408, 429}):
                break
            await asyncio.sleep(wait)
            wait = min(2 * wait, LONGEST_S)
        if reason:
            self.log.emit("webhook.failed", signal=fields["signal"], number=fields["number"], reason=reason)

    def _headers(self, body: bytes) -> dict[str, str]:
        headers = {}
        if self.spec.token:
            headers["authorization"] = f"Bearer {self.spec.token.get_secret_value()}"
        if self.spec.secret:
            digest = hmac.new(self.spec.secret.get_secret_value().encode(), body, "sha256").hexdigest()
            headers["x-tidegate-signature"] = f"sha256={digest}"
        return headers
