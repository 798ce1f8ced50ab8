"""A streamed chat answer as OpenAI's response events, numbered in the order they are sent."""

from __future__ import annotations

from typing import Any

from gateway.errors import PolicyBlocked, TidegateError, UpstreamError
from gateway.wire import body as json_body
from gateway.wire import chat, sse
from gateway.wire.blocks import Block, Blocks, Closed, Grown, Opened, Step, fault, first
from gateway.wire.responses import answer

Object = dict[str, Any]

_GROWING = {"text": "output_text", "refusal": "refusal", "reasoning": "reasoning_text"}


class Events:
    """Feed the judged chunks of a chat stream, `end` after the last; or `fail` where it breaks.

    `asked` is the request as it came. What follows an error or the end is nothing.
    """

    __slots__ = ("_asked", "_blocks", "_closed", "_finish", "_number", "_over", "_response", "_spent")

    def __init__(self, asked: Object) -> None:
        self._asked = asked
        self._blocks = Blocks()
        self._closed: list[Block] = []
        self._finish: Any = None
        self._number = 0
        self._over = False
        self._response: Object = {}
        self._spent: Any = None

    def feed(self, chunk: Object) -> bytes:
        """The events that `chunk` brings."""
        if self._over:
            return b""
        if chat.failed(chunk):
            return self.fail(UpstreamError(fault(chunk)))
        self._spent = chunk.get("usage") or self._spent
        choice = first(chunk)
        self._finish = choice.get("finish_reason") or self._finish
        delta = choice.get("delta")
        return self._start(chunk) + self._told(self._blocks.feed(delta if isinstance(delta, dict) else {}))

    def end(self) -> bytes:
        """The last events of an answer that ended as it should."""
        if self._over:
            return b""
        self._over = True
        return self._start({}) + self._told(self._blocks.finish()) + self._ended()

    def fail(self, error: TidegateError) -> bytes:
        """The last events of an answer that `error` cut: incomplete where a policy did, else failed."""
        if self._over:
            return b""
        self._over = True
        begun = self._start({})
        if isinstance(error, PolicyBlocked):
            self._finish = "content_filter"
            return begun + self._told(self._blocks.cut()) + self._ended()
        self._finish = "length"  # what is open was cut
        cut = self._told(self._blocks.cut())
        last = answer.failed(self._response, self._closed, error, self._spent)
        return begun + cut + self._event("response.failed", response=last)

    def _ended(self) -> bytes:
        last = answer.ended(self._response, self._closed, self._finish, self._spent)
        return self._event(f"response.{last['status']}", response=last)

    def _start(self, chunk: Object) -> bytes:
        if self._response:
            return b""
        self._response = answer.opening(chunk, self._asked)
        created = self._event("response.created", response=self._response)
        return created + self._event("response.in_progress", response=self._response)

    def _event(self, kind: str, **more: Any) -> bytes:
        data = {"type": kind, "sequence_number": self._number, **more}
        self._number += 1
        return sse.encoded(json_body.encoded(data), f"event: {kind}\n".encode())

    def _told(self, steps: list[Step]) -> bytes:
        return b"".join([self._step(step) for step in steps])

    def _step(self, step: Step) -> bytes:
        match step:
            case Opened(block):
                return self._opened(block)
            case Grown(block, piece):
                return self._grown(block, piece)
            case Closed(block):
                return self._shut(block)

    def _opened(self, block: Block) -> bytes:
        item = answer.begun(self._response, block)
        added = self._event("response.output_item.added", output_index=block.index, item=item)
        if block.kind == "call":
            return added
        return added + self._inner("response.content_part.added", block, part=answer.part(block, ""))

    def _grown(self, block: Block, piece: str) -> bytes:
        if block.kind == "call":
            return self._of("response.function_call_arguments.delta", block, delta=piece)
        return self._inner(f"response.{_GROWING[block.kind]}.delta", block, delta=piece, **_scores(block))

    def _shut(self, block: Block) -> bytes:
        self._closed.append(block)
        item = answer.item(self._response, block, answer.status(block, self._finish))
        done = self._call_done(block) if block.kind == "call" else self._text_done(block)
        return done + self._event("response.output_item.done", output_index=block.index, item=item)

    def _call_done(self, block: Block) -> bytes:
        said = {"arguments": block.text, "name": block.name}
        return self._of("response.function_call_arguments.done", block, **said)

    def _text_done(self, block: Block) -> bytes:
        said = {"refusal" if block.kind == "refusal" else "text": block.text, **_scores(block)}
        done = self._inner(f"response.{_GROWING[block.kind]}.done", block, **said)
        return done + self._inner("response.content_part.done", block, part=answer.part(block, block.text))

    def _inner(self, kind: str, block: Block, **more: Any) -> bytes:
        return self._of(kind, block, content_index=0, **more)

    def _of(self, kind: str, block: Block, **more: Any) -> bytes:
        ident = answer.ident(self._response, block)
        return self._event(kind, item_id=ident, output_index=block.index, **more)


def _scores(block: Block) -> Object:
    """Log probabilities are never asked for; texts say so."""
    return {"logprobs": []} if block.kind == "text" else {}
