"""uvicorn's HTTP protocol, with a way past ASGI's messages for the pieces of a stream.

An app that knows of it finds an `Outlet` under `OUTLET` in the scope's extensions; one that does not sees plain ASGI.
"""

from __future__ import annotations

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from gateway.stream import Outlet

OUTLET = "tidegate.outlet"


class Cycle:
    """`stream.Outlet` of one exchange: chunks of a body whose head went the usual way."""

    __slots__ = ("_cycle",)

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle

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

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self.scope["extensions"] = {OUTLET: Cycle(self.cycle)}  # type: ignore[dict-item]  # an object, not its settings


def outlet(scope: Scope) -> Outlet | None:
    """Where the answer's pieces can be written at once, if the server has such a thing."""
    found: Outlet | None = scope.get("extensions", {}).get(OUTLET)
    return found
