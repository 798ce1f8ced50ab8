"""The event log: one event, one line of JSON, one append. It never raises into the path of a request.

A line that was written survives the death of the process. One that could not be written is counted, and its number
(`seq`) is missing from the file.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from itertools import count
from typing import Any

import orjson
from structlog import BoundLoggerBase
from structlog.typing import EventDict

from gateway.observe import events
from gateway.observe.sink import Sink, opened


class Log(BoundLoggerBase):
    """A structlog logger with one method. Bound fields (`log.bind(worker="nemo")`) are in every event it emits."""

    _logger: Sink

    def emit(self, event: str, /, **fields: Any) -> bool:
        """Write one event of the catalogue; False if it could not be written (counted in `dropped`)."""
        line: Any = {"event": event, **self._context, **fields}
        for step in self._processors:  # structlog's own fold would copy the fields three times more
            line = step(self._logger, "emit", line)
        return self._logger.write(line) if line else self._logger.drop("not JSON")

    @property
    def dropped(self) -> int:
        """Events that could not be written since the log was opened."""
        return self._logger.dropped


@contextmanager
def open_log(path: str, *, strict: bool = False, now: Callable[[], int] = time.time_ns) -> Iterator[Log]:
    """A log that appends to the file at `path`, made with its folders if need be, or to standard output (`-`).

    `strict` refuses events that are not as the catalogue has them (KeyError, ValidationError): for tests.
    """
    with opened(path) as sink:
        yield Log(sink, [_Stamp(now), *([_checked] if strict else []), _line], {})


class _Stamp:
    """Puts name, time, process and number first."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now, self._seq, self._process = now, count(1), os.getpid()

    def __call__(self, _sink: Sink, _method: str, fields: EventDict) -> EventDict:
        stamp = {"event": None, "ts": _rfc3339(self._now()), "process": self._process, "seq": next(self._seq)}
        return {**stamp, **fields}


def _rfc3339(ns: int) -> str:
    second, rest = divmod(ns, 1_000_000_000)
    return f"{_second(second)}.{rest // 1000:06}Z"


@lru_cache(maxsize=2)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _checked(_sink: Sink, _method: str, fields: EventDict) -> EventDict:
    events.check(fields)
    return fields


def _line(_sink: Sink, _method: str, fields: EventDict) -> bytes:
    """The event as a line; empty if nothing can be made of it."""
    try:
        return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # half a surrogate pair in a client's string, most likely
        return _mended_line(fields)


def _mended_line(fields: EventDict) -> bytes:
    try:
        return orjson.dumps(_mended(fields), option=orjson.OPT_APPEND_NEWLINE)
    except (TypeError, RecursionError):
        return b""


def _mended(value: Any) -> Any:
    """The same value with every string one that UTF-8 can hold."""
    match value:
        case str():
            return value.encode("utf-8", "replace").decode()
        case dict():
            return {_mended(k): _mended(v) for k, v in value.items()}
        case list() | tuple():
            return [_mended(v) for v in value]
        case _:
            return value
