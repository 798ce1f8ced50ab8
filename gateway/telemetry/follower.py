"""One destination, taken from where it stands in the log to the log's end, again and again.

The log is the queue: it is on disk already, bounded, and outlives everybody. What was sent and not yet noted is sent
again after a crash: at least once, with the same ids.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.telemetry import judged, otlp
from gateway.telemetry.destination import Destination
from gateway.telemetry.instruments import Instruments
from gateway.telemetry.marks import marked
from gateway.telemetry.place import Place
from gateway.telemetry.reading import Reading
from gateway.telemetry.results import Result, entries, results
from gateway.telemetry.sender import Parcel, Sender
from gateway.telemetry.span import Entry, Span
from gateway.telemetry.spans import Spans
from gateway.telemetry.standing import Standing
from gateway.telemetry.traces import Traces
from gateway.upstream.post import Post

Event = Mapping[str, Any]


class Follower:
    """`run` it; `part` sends what is left, once. `standing` may be read at any time."""

    def __init__(self, to: Destination, post: Post, traces: Traces) -> None:
        self._to, self._traces, self.standing = to, traces, Standing(to.name)
        self._reading = Reading(to, Place.read(to.state / f"{to.name}.json"), self.standing)
        self._sender = Sender(to, post, self.standing, lambda: self._reading.far)
        self._spans = Spans(to.upstreams, to.semconv, to.content)
        self._instruments = Instruments(to.upstreams, to.semconv)
        self._since = time.time_ns()
        self._waiting = deque[Parcel]()

    async def run(self) -> None:
        """For ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow())
            if "metrics" in self._to.urls:
                group.create_task(self._measure())

    async def part(self) -> None:
        """What stands in the log and was not sent, and the metrics, as far as time allows."""
        while await self.step():
            pass
        await self.measured()

    def close(self) -> None:
        self._reading.close()

    async def step(self) -> bool:
        """Send the next piece of the log, or what is left of the last; whether there may be more."""
        if not self._waiting:
            events = self._reading.events(time.time())
            if events is None:
                return False
            for at in range(0, len(events), self._to.batch):
                self._waiting.extend(self._parcels(events[at : at + self._to.batch]))
        while self._waiting:
            await self._sender.send(self._waiting[0])
            self._waiting.popleft()
        self._reading.keep()
        return True

    async def measured(self) -> None:
        """Send the metrics as they stand. They only grow, so what was not taken is in the next."""
        instruments = list(self._instruments.all())
        if instruments and "metrics" in self._to.urls:
            body = otlp.metrics(instruments, self._to.resource, self._since, time.time_ns())
            points = sum(len(instrument.cells) for instrument in instruments)
            await self._sender.once(Parcel("metrics", self._to.urls["metrics"], body, points))

    async def _follow(self) -> None:
        while True:
            if not await self.step():
                await asyncio.sleep(self._to.look_s)

    async def _measure(self) -> None:
        while True:
            await asyncio.sleep(self._to.metrics_s)
            await self.measured()

    def _parcels(self, events: Sequence[Event]) -> Iterator[Parcel]:
        """Spans first: scores are given to spans that are there."""
        urls, resource = self._to.urls, self._to.resource
        found = [taken for event in events if (taken := self._taken(event))]
        spans = [span for taken in found for span in taken.spans]
        told = [entry for taken in found for entry in taken.entries]
        if spans:
            yield Parcel("traces", urls["traces"], otlp.traces(spans, resource), len(spans))
        if told:
            yield Parcel("logs", urls["logs"], otlp.logs(told, resource), len(told))
        for call in judged.calls(self._to, [result for taken in found for result in taken.results]):
            yield Parcel("scores", call.url, call.body, call.count)

    def _taken(self, event: Event) -> Taken | None:
        """None, and counted, for an event that is not as the catalogue has it: of another version, perhaps."""
        try:
            return self._read(event)
        except (KeyError, TypeError, ValueError, AttributeError):
            self.standing.drop("events", "unread", 1)
            return None

    def _read(self, event: Event) -> Taken:
        urls, name = self._to.urls, event["event"]
        if name == "exchange.completed" and event["trace"]:
            self._traces.note(event["id"], event["trace"])
        of = event.get("trace") or self._traces.of(event.get("id", ""))
        spans = [span for span in self._spans.of(event, of) if self._chosen(span.trace)] if "traces" in urls else []
        taken = Taken(
            marked(self._to.kind, spans, event["id"]) if spans else [],
            entries(event, of, self._to.semconv) if "logs" in urls else [],
            [result for result in results(event, of) if self._chosen(result.trace)] if "scores" in urls else [],
        )
        if "metrics" in urls:
            self._instruments.take(event)
        return taken

    def _chosen(self, trace: str) -> bool:
        """As OpenTelemetry's sampler by ratio: whoever else samples by the same ratio chooses the same."""
        return self._to.sample >= 1 or int(trace[16:], 16) < self._to.sample * 2**64


@dataclass(frozen=True, slots=True)
class Taken:
    """What one event gives a destination."""

    spans: Sequence[Span]
    entries: Sequence[Entry]
    results: Sequence[Result]
