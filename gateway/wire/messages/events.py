"""A streamed chat answer as Anthropic's events: `message_start`, blocks one after another, `message_delta`,
`message_stop`.
"""

from __future__ import annotations

from typing import Any

from gateway.errors import PolicyBlocked, TidegateError, UpstreamError
from gateway.wire import body as json_body
from gateway.wire import chat, sse
from gateway.wire.blocks import Block, Blocks, Closed, Grown, Opened, Step, fault, first
from gateway.wire.messages import answer


class Events:
    """Feed the judged chunks of a chat stream, `end` after the last; or `fail` where it breaks.

    `asked` is the request as it came. What follows an error or the end is nothing.
    """

    __slots__ = ("_asked", "_begun", "_blocks", "_choice", "_over", "_spent")

    def __init__(self, asked: dict[str, Any]) -> None:
        self._asked = asked
        self._blocks = Blocks()
        self._begun = False
        self._over = False
        self._choice: dict[str, Any] = {}  # why it ended, as far as anybody said
        self._spent: Any = None

    def feed(self, chunk: dict[str, Any]) -> bytes:
        """The events that `chunk` brings."""
        if self._over:
            return b""
        if chat.failed(chunk):
            return self.fail(UpstreamError(fault(chunk)))
        self._spent = chunk.get("usage") or self._spent
        choice = first(chunk)
        self._choice |= {key: choice[key] for key in ("finish_reason", "stop_reason") if choice.get(key)}
        delta = choice.get("delta")
        return self._start(chunk) + _encoded(self._blocks.feed(delta if isinstance(delta, dict) else {}))

    def end(self) -> bytes:
        """The last events of an answer that ended as it should."""
        if self._over:
            return b""
        self._over = True
        steps = self._blocks.finish()
        return self._start({}) + _encoded(steps) + self._stopped(answer.stop(self._choice, self._blocks.all))

    def fail(self, error: TidegateError) -> bytes:
        """The last events of an answer that `error` cut: a refusal where a policy did, else the error itself."""
        if self._over:
            return b""
        self._over = True
        if not isinstance(error, PolicyBlocked):
            return _event(answer.fault(error))
        stop = answer.stopped("refusal", said=error.message)
        return self._start({}) + _encoded(self._blocks.cut()) + self._stopped(stop)

    def _start(self, chunk: dict[str, Any]) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        return _event({"type": "message_start", "message": answer.opening(chunk, self._asked)})

    def _stopped(self, stop: dict[str, Any]) -> bytes:
        delta = {"type": "message_delta", "delta": stop, "usage": answer.usage(self._spent)}
        return _event(delta) + _event({"type": "message_stop"})


def _encoded(steps: list[Step]) -> bytes:
    return b"".join([_event(_told(step)) for step in steps])


def _told(step: Step) -> dict[str, Any]:
    match step:
        case Opened(block):
            return {"type": "content_block_start", "index": block.index, "content_block": answer.begun(block)}
        case Grown(block, piece):
            return {"type": "content_block_delta", "index": block.index, "delta": _delta(block, piece)}
        case Closed(block):
            return {"type": "content_block_stop", "index": block.index}


def _delta(block: Block, piece: str) -> dict[str, Any]:
    match block.kind:
        case "reasoning":
            return {"type": "thinking_delta", "thinking": piece}
        case "call":
            return {"type": "input_json_delta", "partial_json": piece}
        case _:
            return {"type": "text_delta", "text": piece}


def _event(data: dict[str, Any]) -> bytes:
    return sse.encoded(json_body.encoded(data), f"event: {data['type']}\n".encode())
