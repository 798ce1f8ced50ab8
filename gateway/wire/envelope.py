"""OpenAI's error envelope: `{"error": {"message", "type", "param", "code"}}`."""

from __future__ import annotations

from typing import Any

import orjson

from gateway.errors import Conflict, NotSupported, PolicyBlocked, TidegateError


def error(fault: TidegateError) -> dict[str, Any]:
    return {"message": fault.message, "type": fault.kind, "param": fault.param, "code": fault.code}


def body(fault: TidegateError) -> bytes:
    return orjson.dumps({"error": error(fault)})


def headers(fault: TidegateError) -> dict[str, str]:
    """What goes with the envelope. Whole seconds, rounded up: RFC 9110, 10.2.3.

    OpenAI's clients try again after 408, 409, 429 and any 5xx unless `x-should-retry` says that it is no use.
    """
    if isinstance(fault, Conflict | NotSupported | PolicyBlocked):
        return {"x-should-retry": "false"}
    return {} if fault.retry_after is None else {"retry-after": str(max(1, -int(-fault.retry_after // 1)))}
