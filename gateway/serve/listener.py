"""The socket that clients reach. It stays open for as long as any HTTP process may come and go."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass

from gateway.config import document
from gateway.config.schema import Config
from gateway.errors import ConfigError, Problem

NEXT_PORTS = 50

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line decides over the configuration's head."""

    host: str | None = None
    port: int | None = None
    next_port: bool = False  # take the next free port where the wanted one is taken


def listening(config: Config, options: Options, say: Say) -> socket.socket:
    """A socket on the wanted port, or the next free one; `say` is told which. Raises `ConfigError`."""
    server = config.gateway.server
    host = options.host or server.host
    wanted = server.port if options.port is None else options.port
    last = min(wanted + NEXT_PORTS, 65536) if options.next_port and wanted else wanted + 1
    for port in range(wanted, last):
        try:
            found = socket.create_server((host, port), backlog=2048)
        except OSError as error:
            why = os.strerror(error.errno) if error.errno and error.errno > 0 else "no such address"
        else:
            if port != wanted:
                say(f"Port {wanted} is taken; using {port} instead.")
            return found
    hint = "choose another with --port" if options.next_port else "choose another with --port, or say --next-port"
    line = document.read(config.file).line(("server", "port"))
    raise ConfigError([Problem(str(config.file), line, f"cannot listen on {host}:{wanted}: {why}; {hint}")])
