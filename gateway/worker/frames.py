"""Messages between a client and a worker: length-prefixed JSON, both ways. No I/O.

A frame is four bytes of length, big-endian, and a JSON array `[kind, id, …]` of at most `MAX` bytes. A client numbers
its calls; every answer carries the number of the call it answers. Instants are seconds on CLOCK_MONOTONIC, which all
processes of a machine share, so that time spent in a socket's buffer counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Generic, NamedTuple, TypeVar

import orjson

from gateway import errors
from gateway.errors import ConfigError, TidegateError, WorkerFault

MAX = 64 * 1024 * 1024
PREFIX = 4
PING = "ping"  # a method that the harness answers itself, never the engine


class Garbled(WorkerFault):
    """Bytes that are not a frame, or a value that cannot become one. Says which, never what was in it."""


class Hello(NamedTuple):
    """Worker, first of all: who is speaking. The servers of one template share their `instance`, and their memory."""

    instance: int


class Call(NamedTuple):
    """Client: answer `method` with one `Result` before the instant `due`.

    `again` is the instance of the server that had this call in hand before and died, 0 the first time. A call or stream
    that an engine had begun, or may have, is not begun again.
    """

    id: int
    method: str
    payload: Any
    due: float
    again: int = 0


class Stream(NamedTuple):
    """Client: answer with `Item`s, each within `each` seconds, and an `End`. `credit` items may be under way."""

    id: int
    method: str
    payload: Any
    each: float
    credit: int
    again: int = 0


class Credit(NamedTuple):
    """Client: `more` items of a stream are welcome."""

    id: int
    more: int


class Cancel(NamedTuple):
    """Client: nobody waits for this call any more; no answer is due."""

    id: int


class Result(NamedTuple):
    id: int
    payload: Any


class Item(NamedTuple):
    id: int
    payload: Any


class End(NamedTuple):
    id: int


class Fault(NamedTuple):
    """Worker: the call ended with `error`, the name of a class in `gateway.errors`, raised again at the client."""

    id: int
    error: str
    message: str
    code: str | None = None
    param: str | None = None
    retry_after: float | None = None

    @classmethod
    def of(cls, id_: int, error: BaseException) -> Fault:
        """What may be told of `error`: all of our own, and of any other its class name alone."""
        if not isinstance(error, TidegateError):
            return cls(id_, "WorkerFault", f"engine raised {type(error).__name__:.80}")
        return cls(id_, _known(error), error.message, error.code, error.param, error.retry_after)

    def raised(self) -> TidegateError:
        """The exception this fault stands for."""
        error = _class(self.error)(self.message, param=self.param, retry_after=self.retry_after)
        if error.code != self.code and self.code is not None:
            vars(error)["code"] = self.code
        return error


Asked = Call | Stream | Credit | Cancel
Answered = Hello | Result | Item | End | Fault
Message = Asked | Answered

_KIND: dict[type[Message], str] = {
    Hello: "hello",
    Call: "call",
    Stream: "stream",
    Credit: "credit",
    Cancel: "cancel",
    Result: "result",
    Item: "item",
    End: "end",
    Fault: "fault",
}


def encode(message: Message) -> bytes:
    """One frame. Raises `Garbled` for a payload that JSON cannot hold or that is larger than `MAX`."""
    try:
        body = orjson.dumps([_KIND[type(message)], *message])
    except TypeError as error:  # orjson.JSONEncodeError is one
        raise Garbled(f"payload is not JSON: {_reason(error)}") from None
    if len(body) > MAX:
        raise Garbled(f"payload of {len(body)} bytes is larger than {MAX}")
    return len(body).to_bytes(PREFIX, "big") + body


T = TypeVar("T")


class Decoder(Generic[T]):
    """Bytes in, messages out: those of the one side that `form` knows. They do not depend on how the bytes are split.

    `feed` takes in its bytes at once; iterating what it returns hands out every message that is whole, then raises
    `Garbled` if what follows cannot be one. A decoder that raised stays broken.
    """

    __slots__ = ("_buffer", "_form")

    def __init__(self, form: Callable[[Any], T | None]) -> None:
        self._buffer = bytearray()
        self._form = form

    def feed(self, data: bytes) -> Iterator[T]:
        self._buffer += data
        return self._whole()

    def _whole(self) -> Iterator[T]:
        buffer = self._buffer
        while len(buffer) >= PREFIX:
            end = PREFIX + int.from_bytes(buffer[:PREFIX], "big")
            if end > PREFIX + MAX:
                raise Garbled(f"frame of {end - PREFIX} bytes is larger than {MAX}")
            if len(buffer) < end:
                return
            message = self._decoded(buffer[PREFIX:end])
            del buffer[:end]
            yield message

    def _decoded(self, body: bytearray) -> T:
        try:
            message = self._form(orjson.loads(body))
        except ValueError:
            raise Garbled("frame is not JSON") from None
        if message is None:
            raise Garbled("frame is no message of the other side")
        return message


def asked(fields: Any) -> Asked | None:
    """A client's message from its JSON, None if it is none."""
    match fields:
        case ["call", int(id_), str(method), payload, float(due), int(again)]:
            return Call(id_, method, payload, due, again)
        case ["credit", int(id_), int(more)]:
            return Credit(id_, more)
        case ["cancel", int(id_)]:
            return Cancel(id_)
        case ["stream", int(id_), str(method), payload, float(each), int(credit), int(again)]:
            return Stream(id_, method, payload, each, credit, again)
    return None


def answered(fields: Any) -> Answered | None:
    """A worker's message from its JSON, None if it is none."""
    match fields:
        case ["result", int(id_), payload]:
            return Result(id_, payload)
        case ["item", int(id_), payload]:
            return Item(id_, payload)
        case ["end", int(id_)]:
            return End(id_)
        case ["hello", int(instance)]:
            return Hello(instance)
        case ["fault", int(id_), str(error), str(message), str() | None, str() | None, float() | int() | None]:
            return Fault(id_, error, message, *fields[4:])
    return None


def _reason(error: TypeError) -> str:
    # orjson says "Type is not JSON serializable: Foo" or the like: words of its own and a class name, never the value.
    return str(error)[:80]


def _known(error: TidegateError) -> str:
    return next(c.__name__ for c in type(error).__mro__ if _class(c.__name__) is c)


def _class(name: str) -> type[TidegateError]:
    found = vars(errors).get(name)
    if isinstance(found, type) and issubclass(found, TidegateError) and not issubclass(found, ConfigError):
        return found
    return WorkerFault  # not ours, or (ConfigError) not made from a message
