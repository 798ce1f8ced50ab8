"""The client's side of an exchange over ASGI: its body read within bounds, its answer written, its leaving noticed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol, cast

from starlette.types import Receive, Scope, Send

from gateway.errors import RequestError, TooLarge, UnsupportedMedia


class Gone(Exception):
    """The client left before its request was whole."""


async def body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """The request's body. Raises `TooLarge` (413) as soon as that is known, `UnsupportedMedia` (415), `Gone`."""
    headers: dict[bytes, bytes] = dict(scope["headers"])
    if headers.get(b"content-encoding", b"identity").strip().lower() not in {b"", b"identity"}:
        raise UnsupportedMedia("Send the body without a Content-Encoding.")
    _check_media(headers.get(b"content-type", b""))
    declared = headers.get(b"content-length", b"0")
    if declared.isdigit() and int(declared[:20]) > limit:
        raise _too_large(limit)
    parts: list[bytes] = []
    size = 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            raise _too_large(limit)
        more = message.get("more_body", False)
    return b"".join(parts) if len(parts) != 1 else parts[0]


def _check_media(value: bytes) -> None:
    """Only JSON, and said to be: a page in a browser may post anything else to any host without asking."""
    media, _, parameters = value.partition(b";")
    if media.strip().lower() != b"application/json":
        raise UnsupportedMedia("Send 'Content-Type: application/json'.")
    charset = parameters.lower().replace(b" ", b"").replace(b'"', b"")
    if charset.startswith(b"charset=") and charset != b"charset=utf-8":
        raise UnsupportedMedia("Send JSON as UTF-8 (RFC 8259, 8.1).")


def _too_large(limit: int) -> RequestError:
    return TooLarge(f"The body is larger than {limit} bytes, the most this gateway takes.")


class Direct(Protocol):
    """A server that is told whole answers, and tells of clients that leave, without ASGI's messages."""

    def watch(self, left: Callable[[], None] | None) -> None: ...
    async def respond(self, status: int, headers: Mapping[str, str], body: bytes) -> None: ...


class Asgi:
    """`pipeline.Client` over ASGI's `send`; whole answers go to `direct`, where there is one."""

    __slots__ = ("_begun", "_direct", "_send")

    def __init__(self, send: Send, direct: Direct | None = None) -> None:
        self._send, self._direct = send, direct
        self._begun = False

    async def respond(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
        if self._direct is not None:
            await self._direct.respond(status, headers, content)
            return
        await self._start(status, {**headers, "content-length": str(len(content))})
        await self._send({"type": "http.response.body", "body": content})

    async def write(self, chunk: bytes, headers: Mapping[str, str]) -> None:
        """A piece of a streamed answer; the first brings its `headers`."""
        if not self._begun:
            await self._start(200, headers)
        await self._send({"type": "http.response.body", "body": chunk, "more_body": True})

    async def end(self) -> None:
        await self._send({"type": "http.response.body", "body": b""})

    async def _start(self, status: int, headers: Mapping[str, str]) -> None:
        self._begun = True
        raw = [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": raw})


async def while_there(work: Awaitable[None], receive: Receive, direct: Direct | None = None) -> None:
    """Do `work` unless the client leaves: that cancels the work, and with it what it asked of others.

    Raises `asyncio.CancelledError` where somebody else wants this task to end, as a server that is being stopped does.
    """
    task = cast("asyncio.Task[None]", asyncio.current_task())
    gone = False

    def left() -> None:
        nonlocal gone
        gone = True
        task.cancel()

    watch = direct or _Watch(receive)
    watch.watch(left)
    try:
        await work
    except asyncio.CancelledError:
        if not gone or task.uncancel() > 0:
            raise
    finally:
        watch.watch(None)


class _Watch:
    """Asks ASGI's `receive` whether the client has left, in a task of its own."""

    def __init__(self, receive: Receive) -> None:
        self._left: Callable[[], None] | None = None
        self._task = asyncio.ensure_future(self._until_gone(receive))

    def watch(self, left: Callable[[], None] | None) -> None:
        self._left = left
        if left is None:
            self._task.cancel()

    async def _until_gone(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        if self._left is not None:
            self._left()
