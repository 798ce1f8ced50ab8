"""The gateway and the scripted model behind it, for tests that drive it with clients of any kind."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from support.scripted import Server, scripted
from support.serving import Serving
from support.speaking import speak


@dataclass(frozen=True, slots=True)
class Stage:
    """The gateway, and the scripted model behind its routes `scripted` and `busy`. `embedded` is the other route."""

    gateway: Serving
    model: Server

    @property
    def base_url(self) -> str:
        return f"{self.gateway.url}/v1"


@contextmanager
def threaded() -> Iterator[Server]:
    """The scripted model on a loop of its own, for tests that have none or another."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    context = scripted(speak)
    try:
        yield asyncio.run_coroutine_threadsafe(context.__aenter__(), loop).result(10)
        asyncio.run_coroutine_threadsafe(context.__aexit__(None, None, None), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
