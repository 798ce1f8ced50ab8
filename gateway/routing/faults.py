"""What became of a try, in one word: by the answer's status, or by the error in its place."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.config.traffic import Fault
from gateway.errors import UpstreamBroken, UpstreamError, UpstreamTimeout, UpstreamUnavailable, UpstreamUnreachable

_STATUS: Mapping[int, Fault] = {
    401: "credentials",
    403: "credentials",
    404: "missing",
    408: "timeout",
    429: "rate_limit",
    503: "overloaded",
    504: "timeout",
    529: "overloaded",  # Anthropic's
}

COUNTED: frozenset[Fault] = frozenset({"unreachable", "timeout", "broken", "unavailable", "overloaded", "server_error"})
"""Those that say that an upstream is not well. The others say something of the request, its model or its key."""

UNHEARD: frozenset[Fault] = frozenset({"unreachable", "unavailable"})
"""Those that cost the upstream nothing, so that asking another one instead multiplies no work."""


def of_status(status: int) -> Fault | None:
    """None where the answer is one that another upstream would give as well."""
    if status < 400:
        return None
    return _STATUS.get(status) or ("server_error" if status >= 500 else None)


def of_error(error: UpstreamError) -> Fault:
    match error:
        case UpstreamUnreachable():
            return "unreachable"
        case UpstreamTimeout():
            return "timeout"
        case UpstreamUnavailable():
            return "unavailable"
        case UpstreamBroken():
            return "broken"
        case _:
            return "server_error"
