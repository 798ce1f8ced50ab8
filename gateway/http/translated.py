"""Endpoints that speak another wire than the chat API's: translated on the way in and on the way out.

What is judged, asked, priced and recorded is the chat exchange in between, so a text's verdict cannot depend on the
wire that brought it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from gateway.errors import (
    Forbidden,
    ModelNotFound,
    NotSupported,
    PolicyBlocked,
    RequestError,
    RequestTimeout,
    TidegateError,
    TooLarge,
    TooManyRequests,
    Unauthenticated,
    Unprocessable,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from gateway.wire import body as json_body
from gateway.wire import messages, responses, sse

Object = dict[str, Any]

_STATUS: Mapping[int, type[TidegateError]] = {
    400: RequestError,
    401: Unauthenticated,
    403: Forbidden,
    404: ModelNotFound,
    408: RequestTimeout,
    413: TooLarge,
    422: Unprocessable,
    429: TooManyRequests,
    501: NotSupported,
    503: UpstreamUnavailable,
    504: UpstreamTimeout,
}


class Events(Protocol):
    """Chat chunks in, the other wire's events out."""

    def feed(self, chunk: Object) -> bytes: ...
    def end(self) -> bytes: ...
    def fail(self, error: TidegateError) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Wire:
    """How one wire is read and written. `envelope` is its own shape of an error, where it has one."""

    endpoint: str
    read: Callable[[bytes], Object]
    to_chat: Callable[[Object], Object]
    from_chat: Callable[[Object, Object], Object]
    events: Callable[[Object], Events]
    envelope: Callable[[TidegateError, str], bytes] | None = None


MESSAGES = Wire("/messages", messages.read, messages.to_chat, messages.from_chat, messages.Events, messages.envelope)
RESPONSES = Wire("/responses", responses.read, responses.to_chat, responses.from_chat, responses.Events)


@dataclass(slots=True)
class Translator:
    """`pipeline.run.Twin`: a chat answer in another wire. `asked` is the request as it came."""

    wire: Wire
    asked: Object = field(default_factory=dict)
    decoder: sse.Decoder = field(default_factory=sse.Decoder)
    events: Events | None = None

    def take(self, raw: bytes) -> bytes:
        """The chat request that `raw` spells in the other wire. Raises `RequestError` or `NotSupported`."""
        self.asked = self.wire.read(raw)
        self.events = self.wire.events(self.asked)
        return orjson.dumps(self.wire.to_chat(self.asked))

    def whole(self, status: int, content: bytes, ident: str) -> bytes:
        """An answer or, by its status, an error in OpenAI's envelope; `ident` names the exchange."""
        if status < 400:
            return json_body.encoded(self.wire.from_chat(json_body.answer(content), self.asked))
        return self.wire.envelope(told(status, content), ident) if self.wire.envelope else content

    def piece(self, chunk: bytes) -> bytes:
        """What these bytes of a stream are there."""
        return b"".join(map(self._translated, self.decoder.feed(chunk)))

    def _translated(self, event: sse.Event) -> bytes:
        if self.events is None or not event.data:
            return b""
        if event.data == sse.DONE:
            return self.events.end()
        chunk = json_body.answer(event.data)
        if isinstance(chunk.get("error"), dict):
            return self.events.fail(_fault(chunk["error"], UpstreamError))
        return self.events.feed(chunk)


def told(status: int, content: bytes) -> TidegateError:
    """The error that an answer in OpenAI's envelope tells of."""
    kind = _STATUS.get(status, RequestError if status < 500 else UpstreamError)
    try:
        error = orjson.loads(content).get("error")
    except (orjson.JSONDecodeError, AttributeError):
        error = None
    return _fault(error if isinstance(error, dict) else {}, kind)


def _fault(error: Object, kind: type[TidegateError]) -> TidegateError:
    message = str(error.get("message") or "The upstream failed.")
    return PolicyBlocked(message) if error.get("code") == PolicyBlocked.code else kind(message)
