"""A worker under a supervisor, a client of it, and what the supervisor told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from gateway.worker.client import Client
from gateway.worker.supervisor import Host, Supervisor

Event = tuple[str, str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Worker:
    client: Client
    host: Host
    events: list[Event]

    def told(self, event: str) -> list[Mapping[str, Any]]:
        return [fields for _, name, fields in self.events if name == event]


Start = Callable[..., AbstractAsyncContextManager[Worker]]


@asynccontextmanager
async def started(host: Host) -> AsyncIterator[Worker]:
    events: list[Event] = []
    async with Supervisor([host], lambda *event: events.append(event)) as supervisor:
        await supervisor.ready(30)
        async with Client(host.socket, name=host.name) as client:
            yield Worker(client, host, events)
