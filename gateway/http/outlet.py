"""uvicorn's HTTP protocol, with a way past ASGI's messages: for whole answers, pieces of streams, clients that leave.

An app that knows of it finds an `Outlet` under `OUTLET` in the scope's extensions; one that does not sees plain ASGI.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

OUTLET = "tidegate.outlet"


class Cycle:
    """`stream.Outlet` of one exchange: chunks of a body whose head went the usual way. Whole answers go at once."""

    __slots__ = ("_cycle", "_left")

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        self._left: Callable[[], None] | None = None

    def watch(self, left: Callable[[], None] | None) -> None:
        """Have `left` called when the client leaves, or now if it has; None to have nobody called any more."""
        self._left = left
        self._cycle.flow.resume_reading()  # else the end of a connection whose body filled its buffer goes unnoticed
        if self._cycle.disconnected:
            self.lost()

    def lost(self) -> None:
        """The connection is gone."""
        if self._left is not None and self._cycle.disconnected:
            self._left()

    async def respond(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """A whole answer in one write, as uvicorn's `send` would put it. `headers` are lines of their own."""
        cycle = self._cycle
        if cycle.flow.write_paused and not cycle.disconnected:
            await cycle.flow.drain()
        if cycle.disconnected:
            return
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        if lines.count("\n") != len(headers):
            raise ValueError("a header must be one line")
        own = b"".join([b"%b: %b\r\n" % header for header in cycle.default_headers])
        end = b"content-length: %d\r\n\r\n" if cycle.keep_alive else b"content-length: %d\r\nconnection: close\r\n\r\n"
        said = b"" if cycle.scope["method"] == "HEAD" else body
        cycle.waiting_for_100_continue = False
        cycle.response_started = cycle.response_complete = True
        told = lines.encode("latin-1", "replace")
        cycle.transport.write(b"".join((STATUS_LINE[status], own, told, end % len(body), said)))
        cycle.message_event.set()
        if not cycle.keep_alive:
            cycle.transport.close()
        cycle.on_response()

    @property
    def open(self) -> bool:
        """Whether `send` would write a piece now, without waiting for a slow client."""
        cycle = self._cycle
        return cycle.chunked_encoding is True and not (cycle.flow.write_paused or cycle.response_complete)

    def write(self, piece: bytes) -> None:
        """As `send` writes it: framed as RFC 9112, 7.1 says; to nobody where the client has left."""
        if piece and not self._cycle.disconnected:
            self._cycle.transport.write(b"%x\r\n%b\r\n" % (len(piece), piece))


class Protocol(HttpToolsProtocol):
    """One client's connection. The app is started after this callback, so it finds the outlet in its scope."""

    outlet: Cycle | None = None  # of the newest request

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self.outlet = Cycle(self.cycle)
        self.scope["extensions"] = {OUTLET: self.outlet}  # type: ignore[dict-item]  # an object, not its settings

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self.outlet is not None:
            self.outlet.lost()


def outlet(scope: Scope) -> Cycle | None:
    """The way past ASGI's messages, if the server has such a thing."""
    found: Cycle | None = scope.get("extensions", {}).get(OUTLET)
    return found
