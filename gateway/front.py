"""One HTTP process: `python -m gateway.front`, told what it needs on stdin as JSON. Started by `serve` alone."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson
import uvicorn

from gateway.app import Wiring, opened
from gateway.config.load import load
from gateway.config.schema import Config
from gateway.errors import ConfigError
from gateway.observe.stderr import quiet
from gateway.worker.host import die_with

KEEP_ALIVE_S = 75
"""Idle seconds before a kept connection is closed: longer than clients keep theirs, as nginx has it."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a front is told: its configuration's file, where child processes answer, the descriptors it inherits."""

    file: str
    sockets: dict[str, str]
    embedded: dict[str, str]
    listen: int

    def encoded(self) -> bytes:
        return orjson.dumps(asdict(self))


async def serve(config: Config, order: Order) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is under way, within the configured drain time."""
    wiring = Wiring({name: Path(path) for name, path in order.sockets.items()}, order.embedded)
    async with opened(config, wiring) as app:
        await uvicorn.Server(settings(app, config, order.listen)).serve()


def settings(app: Any, config: Config, listen: int) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        fd=listen,
        loop="none",
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=int(config.gateway.server.drain_s),
    )


def main() -> None:
    die_with(0)
    quiet()
    order = Order(**orjson.loads(sys.stdin.buffer.read()))
    try:
        config = load(Path(order.file), os.environ)
    except ConfigError as error:
        sys.exit(str(error))
    with asyncio.Runner(loop_factory=_loop) as runner:
        runner.run(serve(config, order))


def _loop() -> asyncio.AbstractEventLoop:
    import uvloop  # noqa: PLC0415 - only a front runs on it

    return uvloop.new_event_loop()


if __name__ == "__main__":
    main()
