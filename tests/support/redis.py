"""A Redis of a test's own, on a socket in a folder of its own; Debian's `redis-server` or `valkey-server`."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import redis

PROGRAM = next(filter(None, map(shutil.which, ("redis-server", "valkey-server"))), None)


@dataclass(slots=True)
class Server:
    """One that runs, or could: `start` and `stop` as a test likes."""

    folder: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> Path:
        return self.folder / "redis.sock"

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def client(self) -> redis.Redis:
        return redis.Redis(unix_socket_path=str(self.socket))

    def start(self) -> None:
        assert PROGRAM is not None
        words = ["--port", "0", "--unixsocket", str(self.socket), "--save", "", "--appendonly", "no"]
        self.process = subprocess.Popen(
            [PROGRAM, *words, "--dir", str(self.folder)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        give_up = time.monotonic() + 30
        while not self._answers():
            assert time.monotonic() < give_up
            time.sleep(0.02)

    def _answers(self) -> bool:
        with suppress(redis.exceptions.ConnectionError), self.client() as client:
            return bool(client.ping())
        return False

    def pause(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None


@contextmanager
def running(folder: Path) -> Iterator[Server]:
    server = Server(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()
