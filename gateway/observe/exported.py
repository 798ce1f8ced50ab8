"""Events of sending what the log says to others. Part of the catalogue in `gateway.observe.events`; never sent."""

from __future__ import annotations

from pydantic import Field

from gateway.observe.event import Event


class ExportFailing(Event):
    """A destination of `export` does not take what it is sent. It is tried again; what waits, waits in the log."""

    destination: str
    reason: str = Field(description="the answer's status, or why there was none")


class ExportRecovered(Event):
    """It takes it again."""

    destination: str
    seconds: float = Field(ge=0, description="for how long it did not")


class ExportDropped(Event):
    """What a destination will never be given."""

    destination: str
    signal: str = Field(description="`traces`, `metrics`, `logs`, `scores`; `events` for what was not read at all")
    reason: str = Field(
        description="`refused` by a status, `rejected` by a collector that took the rest, `late` and `behind` by"
        " `keep_s` and `behind_mb`, `gone` with a log file, `unread` because it was not as the catalogue has it"
    )
    count: int = Field(ge=1)
