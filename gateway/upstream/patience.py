"""What a server says of when to ask again."""

from __future__ import annotations

from collections.abc import Callable
from email.utils import parsedate_to_datetime

LONGEST_S = 3600.0
"""No server is believed that asks for more."""


def retry_after(header: Callable[[str], str], wall: Callable[[], float]) -> float | None:
    """Seconds the server asks to wait, None where it says nothing that makes sense. RFC 9110, 10.2.3.

    `header` gives a header by name, `wall` the time of day. `retry-after-ms` is what OpenAI and Azure send for less
    than a second.
    """
    if ms := _number(header("retry-after-ms")):
        return min(ms / 1000, LONGEST_S)
    said = header("retry-after")
    seconds = _number(said)
    if seconds is None and said:
        seconds = _until(said, wall)
    return None if seconds is None else min(seconds, LONGEST_S)


def _number(said: str) -> float | None:
    try:
        number = float(said) if len(said) <= 32 else -1.0
    except ValueError:
        return None
    return number if number >= 0 else None  # NaN is not either


def _until(said: str, wall: Callable[[], float]) -> float | None:
    try:
        return max(0.0, parsedate_to_datetime(said[:64]).timestamp() - wall())
    except (ValueError, OverflowError):
        return None
