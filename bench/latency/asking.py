"""A client that adds next to nothing: one blocking connection, one exchange at a time; and what processes spent."""

from __future__ import annotations

import json
import random
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

WORDS = (  # noqa: SIM905 - prose
    "the harbour town keeps its ledgers in order and every quarter somebody reads them aloud while thirteen engineers "
    "note that revenue rose by 12 percent in the spring according to a page of some report nobody else had asked about"
).split()


def prose(seed: int, size: int) -> str:
    """`size` characters of sentences, like those of no other seed."""
    pick = random.Random(seed)
    text = f"Case {seed}. "
    while len(text) < size:
        text += " ".join(pick.sample(WORDS, pick.randint(6, 18))).capitalize() + ". "
    return text[:size]


def personal(seed: int, size: int) -> str:
    """The same with an e-mail address and a telephone number in it."""
    text = prose(seed, size - 50)
    return f"{text[: size // 2]} ada.{seed}@example.org or (415) 555-0134 {text[size // 2 :]}"


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float


class Asker:
    """One connection to `url`, whose requests go to `path` with `headers`."""

    def __init__(self, url: str, path: str, headers: Mapping[str, str] | None = None) -> None:
        parts = urlsplit(url)
        self._host = (parts.hostname or "", parts.port or 80)
        lines = "".join(f"{k}: {v}\r\n" for k, v in (headers or {}).items())
        self._head = f"POST {path} HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-type: application/json\r\n{lines}"
        self._socket: socket.socket | None = None

    def ask(self, body: Mapping[str, Any]) -> Answer:
        """POST `body` as JSON. The clock runs from the first byte sent to the last byte read."""
        raw = json.dumps(body).encode()
        request = self._head.encode() + b"content-length: %d\r\n\r\n" % len(raw) + raw
        if self._socket is None:
            self._socket = socket.create_connection(self._host, timeout=60)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        began = time.perf_counter()
        self._socket.sendall(request)
        status, headers, got = self._read(self._socket)
        seconds = time.perf_counter() - began
        if headers.get("connection", "").lower() == "close":
            self.close()
        return Answer(status, headers, got, seconds)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _read(self, peer: socket.socket) -> tuple[int, dict[str, str], bytes]:
        data = b""
        while b"\r\n\r\n" not in data:
            data += _some(peer)
        head, _, rest = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
        if "chunked" in headers.get("transfer-encoding", ""):
            parts = [rest]
            while not parts[-1].endswith(b"0\r\n\r\n"):
                parts.append(_some(peer))
            return int(first.split()[1]), headers, b"".join(parts)
        size = int(headers.get("content-length", "0"))
        while len(rest) < size:
            rest += _some(peer)
        return int(first.split()[1]), headers, rest


def _some(peer: socket.socket) -> bytes:
    data = peer.recv(1 << 18)
    if not data:
        raise ConnectionError("the server hung up")
    return data


# What processes spent


def family(pid: int) -> Iterator[tuple[int, str]]:
    """(pid, command line) of every process that descends from `pid`, and of itself."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    for one in sorted(found):
        with suppress(OSError):
            yield one, Path(f"/proc/{one}/cmdline").read_bytes().replace(b"\0", b" ").decode()


def spent(pids: list[int]) -> float:
    """Seconds of CPU that `pids` have used so far, all threads together (proc(5), schedstat: nanoseconds)."""
    total = 0
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            with suppress(OSError):
                total += int(task.read_text().split()[0])
    return total / 1e9
