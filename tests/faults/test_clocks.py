"""Which clock is asked for what: only a date is a matter of the wall clock, which may jump."""

from __future__ import annotations

import re
from pathlib import Path

GATEWAY = Path(__file__).parents[2] / "gateway"

DATES = {
    # where the time of day is meant, and a jump does no more than misdate
    "cli": "dates asked for",
    "data": "until when texts are kept",
    "limits": "days and months, which are the calendar's",
    "monitor": "hours and days that are compared",
    "observe": "when an event happened",
    "panel": "what is shown",
    "policy": "the date in a webhook's signature",
    "report": "what is shown",
    "routing": "dates in Retry-After",
    "scoring": "when an answer was scored",
    "telemetry": "when a span began",
    "upstream": "dates in Retry-After",
}


def test_only_dates_are_taken_from_the_wall_clock() -> None:
    asking = re.compile(r"\btime\.time(?:_ns)?\b|datetime\.now\(")
    rooms = {file.relative_to(GATEWAY).parts[0] for file in GATEWAY.rglob("*.py") if asking.search(file.read_text())}
    assert rooms <= set(DATES)
