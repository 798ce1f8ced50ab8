"""HTTP/1.1 of clients, read strictly: what two readers could take for different requests is refused, and bounded.

uvicorn's protocol over httptools, which refuses most of it by itself. Added here: one `Host` that is a host, heads and
chunk extensions within bounds, no trailers, no chunks in HTTP/1.0, and never a second answer in the middle of one.
Sources: RFC 9112, 3.2, 6.1, 7.1, 11.2.
"""

from __future__ import annotations

import re
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from gateway.errors import HeadTooLarge, RequestError
from gateway.http.outlet import Protocol
from gateway.wire import envelope

HEAD_BYTES = 64 * 1024  # nginx takes 32 KiB of headers, Envoy 60
HEAD_FIELDS = 100
EXTENSION_BYTES = 4096  # of all chunks of a body together, and what is pipelined behind it
_CHUNK_BYTES = 16  # a chunk's size and line ends
_FIELD_BYTES = 4  # colon, space and line end

# RFC 3986, 3.2.2 and 3.2.3, without user information.
_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]+)(?::([0-9]{1,5}))?")
_PORTS = 65535


class Framed(Protocol):
    """One connection of a client. `declined` is told what is wrong with a request that is none."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._heading = False  # between a request's first byte and the end of its head
        self._chunked = False
        self._spoilt = False  # nothing more that comes is read
        self._size = 0  # bytes of the newest segment
        self._fed = 0  # bytes of a head, or of chunks without their data
        self._host: bytes | None = None  # the newest that was found to be one

    def declined(self, fault: RequestError) -> None:
        """Answer `fault` and close."""
        body = envelope.body(fault)
        head = b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
        self.transport.write(STATUS_LINE[fault.status] + head + body)
        self.transport.close()

    def data_received(self, data: bytes) -> None:
        if self._spoilt:
            return
        self._unset_keepalive_if_required()
        self._size = len(data)
        self._fed += len(data)
        fault = self._read(data)
        if fault is None and self._heading and self._fed > HEAD_BYTES:
            fault = _large_head()
        if fault is None and self._chunked and self._fed > EXTENSION_BYTES:
            fault = _bad_chunks()
        if fault:
            self._spoil(fault)

    def _read(self, data: bytes) -> RequestError | None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            return RequestError("There is no other protocol to change to.")
        except httptools.HttpParserCallbackError as error:
            said = error.__context__
            return said if isinstance(said, RequestError) else RequestError("The request's target is not valid.")
        except httptools.HttpParserError:
            return RequestError("The request is not valid HTTP/1.1.")
        return None

    def _spoil(self, fault: RequestError) -> None:
        """Answer `fault` where an answer is due; one that is under way is finished first, and is the last."""
        self._spoilt = True
        self.pipeline.clear()
        cycle = self.cycle
        if cycle and not cycle.response_complete and (cycle.response_started or not cycle.more_body):
            cycle.keep_alive = False
        elif not self.transport.is_closing():
            self.declined(fault)

    # What the parser says

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._heading = True
        self._fed = self._size

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._heading:  # else it is a trailer, and no part of who asks for what
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._heading = False
        self._check_head([name for name, _ in self.headers])
        super().on_headers_complete()

    def _check_head(self, names: list[bytes]) -> None:
        if len(names) > HEAD_FIELDS or (self._fed > HEAD_BYTES and self._head_bytes() > HEAD_BYTES):
            raise _large_head()
        old = self.parser.get_http_version() == "1.0"
        hosts = names.count(b"host")
        if hosts > 1 or not (hosts or old):
            raise RequestError("Send one Host header.")
        if hosts:
            self._check_host(self.headers[names.index(b"host")][1])
        self._chunked = b"transfer-encoding" in names
        if self._chunked:
            self._fed -= self._head_bytes()
            if old:
                raise RequestError("HTTP/1.0 has no Transfer-Encoding.")

    def _head_bytes(self) -> int:
        return sum(len(name) + len(value) + _FIELD_BYTES for name, value in self.headers) + len(self.url)

    def _check_host(self, host: bytes) -> None:
        if host != self._host:
            found = _HOST.fullmatch(host)
            if not found or int(found[1] or 0) > _PORTS:
                raise RequestError("The Host header is not a host.")
            self._host = host
        if not self.url.startswith(b"/"):
            scheme, _, rest = self.url.partition(b"://")
            if scheme.lower() not in {b"http", b"https"} or rest.partition(b"/")[0] != host:
                raise RequestError("The request's target is not a path of this host.")

    def on_chunk_header(self) -> None:
        self._fed -= _CHUNK_BYTES

    def on_body(self, body: bytes) -> None:
        self._fed -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self._chunked and self._fed > EXTENSION_BYTES:
            raise _bad_chunks()
        self._chunked = False
        super().on_message_complete()


def _large_head() -> RequestError:
    return HeadTooLarge(f"The request's head is over {HEAD_BYTES} bytes or {HEAD_FIELDS} headers.")


def _bad_chunks() -> RequestError:
    return RequestError("The body's chunks are not valid.")
