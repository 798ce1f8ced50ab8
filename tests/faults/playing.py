"""What an upstream says and does, and what its client must get, in few words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson
from faults.entry import Up
from faults.stand import FIRST_BYTE_S, TOTAL_S
from support.answers import JSON, answer, completion, delta, deltas, event, opened, sent, stream, usage
from support.script import Script, Send, Step, Wait, chunk, head

EVENTS = deltas(["the", " tide"], "m")
TEXT = b"".join(EVENTS)
BODY = orjson.dumps(completion("the tide", "m"))
BROKEN, LATE, UNREACHABLE, SAID = "upstream_broken", "upstream_timeout", "upstream_unreachable", "upstream_error"


def raw(*parts: bytes | Step) -> Script:
    return Script(tuple(Send(part) if isinstance(part, bytes) else part for part in parts))


def sized(data: bytes, length: int, *end: Step, status: int = 200, more: Iterable[tuple[str, str]] = ()) -> Script:
    return raw(head(status, [JSON, ("content-length", str(length)), *more]), data, *end)


def due(fault: str) -> float:
    """Silence ends by the shorter deadlines, all else by that of the whole exchange."""
    return FIRST_BYTE_S if fault == LATE else TOTAL_S


def whole(script: Script, status: int = 200, fault: str = "", said: bytes = b"") -> Up:
    return Up(script, status, fault, said=said, due_s=due(fault))


def flow(script: Script, fault: str = "", said: bytes = b"", status: int = 200) -> Up:
    return Up(script, status, fault, stream=True, said=said, due_s=due(fault))


def both(script: Script, status: int, fault: str) -> tuple[Up, Up]:
    return whole(script, status, fault), flow(script, fault, status=status)


def said(*events: bytes) -> Script:
    """A stream of those events."""
    return stream(events)


def begun(*end: bytes | Step) -> Script:
    """A stream that began, and goes on with `end`."""
    return raw(*opened(), *sent(EVENTS[:2]), *end)


def odd(**fields: Any) -> bytes:
    return event({**orjson.loads(EVENTS[1][6:]), **fields})


def choice(**fields: Any) -> bytes:
    return odd(choices=[{"index": 0, "delta": {"content": "a"}, "finish_reason": None, **fields}])


def between(*events: bytes) -> Script:
    """Odd events in the middle of a good stream."""
    rest = (*sent(events), *sent(EVENTS[2:]), Send(chunk(b"")))
    return Script((*opened(), *sent(EVENTS[:2]), Wait(0.03), *rest))


def packed(data: bytes, name: str = "gzip", kind: tuple[str, str] = JSON) -> Script:
    return raw(head(200, [kind, ("content-encoding", name), ("content-length", str(len(data)))]), data)


# Five million characters: what takes time is judging them, not the upstream.
JUDGED = Up(said(event(delta("a" * (5 << 20))), *EVENTS), 200, stream=True, due_s=10.0)
ERROR = b'{"error":{"message":"why","type":"t","param":null,"code":"theirs"}}'


def failing() -> Iterable[Up]:
    """Each status with each kind of body. A refusal of our own key, and what is no error of ours, are a 502."""
    for status in (400, 401, 403, 404, 409, 413, 422, 429, 500, 502, 503, 504, 529):
        for body, code in ((ERROR, "theirs"), (b"<html>down</html>", SAID), (b"", SAID)):
            own = status in {401, 403}
            yield Up(answer(body, status), 502 if own else status, SAID if own else code, stream=status % 2 == 0)
    yield Up(answer(b"e" * (10 << 20), 500), 500, SAID)


COUNTS: tuple[Any, ...] = (usage(1, 1), "many", [], *({"prompt_tokens": n} for n in (-1, 1.5, 10**18, "1")))
CALLS = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}


def called(**fields: Any) -> bytes:
    return event(delta(tool_calls=[fields]))
