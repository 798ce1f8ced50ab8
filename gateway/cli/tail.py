"""`tidegate tail`: the event log for people, or filtered for programs."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
import typer
from rich.console import Console

from gateway.cli.follow import Follower
from gateway.cli.line import HEADER, line
from gateway.cli.where import Condition, all_hold

_PAUSE_S = 0.2

Event = Mapping[str, Any]


def show(file: Path, wanted: Sequence[Condition], *, lines: int, follow: bool, as_json: bool) -> int:
    """Print the last `lines` events that are as wanted, then, if told to, those that come. Returns the exit code."""
    out = Console(highlight=False, soft_wrap=True)
    with Follower(file) as follower, suppress(KeyboardInterrupt):
        found = deque(_so_far(follower, wanted, every=as_json), maxlen=lines)
        if not follower.there:
            typer.echo(f"{'waiting for' if follow else 'there is no'} {file}", err=True)
            if not follow:
                return 1
        if not as_json:
            out.print(HEADER, style="dim")
        _print(out, found, as_json=as_json)
        while follow:
            time.sleep(_PAUSE_S)
            _print(out, _events(follower.lines(), wanted, every=as_json), as_json=as_json)
    return 0


def _so_far(follower: Follower, wanted: Sequence[Condition], *, every: bool) -> Iterator[Event]:
    while batch := follower.lines():
        yield from _events(batch, wanted, every=every)


def _events(lines: Sequence[bytes], wanted: Sequence[Condition], *, every: bool) -> Iterator[Event]:
    """Events as wanted. People are not shown that an exchange began: the line of its end says more."""
    for raw in lines:
        event = _event(raw)
        if event and (every or event.get("event") != "exchange.started") and all_hold(wanted, event):
            yield event


def _event(raw: bytes) -> Event | None:
    """The event of a line; None for a torn one."""
    try:
        event = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    return event if isinstance(event, dict) else None


def _print(out: Console, events: Iterable[Event], *, as_json: bool) -> None:
    for event in events:
        if as_json:
            typer.echo(orjson.dumps(event))
        else:
            out.print(line(event))
