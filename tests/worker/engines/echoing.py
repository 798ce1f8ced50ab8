"""A small real engine for tests: it answers, and misbehaves on demand."""

from __future__ import annotations

import asyncio
import ctypes
import os
import re
import signal
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gateway.errors import UpstreamTimeout


def prepare(spec: dict[str, Any]) -> object:
    print("printed while preparing")  # noqa: T201 - engines print
    if spec.get("prepare") == "raise":
        raise ValueError(f"no such guard; key was {spec['api_key']}")
    if spec.get("prepare") == "exit":
        sys.exit("no such\n\x1b[2Jmodel")
    time.sleep(spec.get("prepare_s", 0))
    return {"pid": os.getpid()}


@asynccontextmanager
async def open(spec: dict[str, Any], prepared: Any) -> AsyncIterator[Echo]:  # noqa: A001 - the contract's name
    match spec.get("open"):
        case "raise":
            raise ValueError("no such encoder")
        case "exit":
            os._exit(9)
        case "never":
            await asyncio.sleep(3600)
    print("printed while opening")  # noqa: T201 - engines print
    yield Echo(prepared["pid"], spec)
    if "farewell" in spec:
        leave_mark(spec["farewell"])


def leave_mark(path: str) -> None:
    with Path(path).open("a") as file:
        file.write("x")


class Echo:
    def __init__(self, template: int, spec: dict[str, Any]) -> None:
        self.template = template
        self.spec = spec
        self.log: list[str] = []
        self.now = 0
        self.most = 0

    async def call(self, method: str, payload: Any) -> Any:
        return await getattr(self, method)(payload)

    async def echo(self, payload: Any) -> Any:
        return payload

    async def who(self, _: Any) -> dict[str, int]:
        return {"pid": os.getpid(), "template": self.template}

    async def told(self, _: Any) -> list[str]:
        return self.log

    async def printed(self, payload: str) -> None:
        print(payload)  # noqa: T201 - engines print

    async def together(self, seconds: float) -> int:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(seconds)
        finally:
            self.now -= 1
        return self.most

    async def sleep(self, seconds: float) -> str:
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.log.append("cancelled")
            raise
        return "slept"

    async def block(self, seconds: float) -> str:
        time.sleep(seconds)  # noqa: ASYNC251 - blocking the loop is what it is for
        return "blocked"

    async def stubborn(self, seconds: float) -> str:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                await asyncio.sleep(until - time.monotonic())
            except asyncio.CancelledError:
                self.log.append("ignored")
        return "done"

    async def block_later(self, seconds: float) -> None:
        asyncio.get_running_loop().call_later(0.02, time.sleep, seconds)

    async def noted(self, path: str) -> None:
        """Leave a mark each time this is begun."""
        leave_mark(path)
        await asyncio.sleep(3600)

    async def child(self, _: Any) -> int:
        """Start a process of the engine's own."""
        process = await asyncio.create_subprocess_exec("sleep", "3600")
        return process.pid

    async def redos(self, text: str) -> bool:
        return bool(re.match(r"^(a+)+$", text))

    async def kill(self, number: int) -> None:
        os.kill(os.getpid(), number)

    async def exits(self, code: int) -> None:
        sys.exit(code)

    async def quits(self, code: int) -> None:
        os._exit(code)

    async def segfault(self, _: Any) -> None:
        ctypes.string_at(0)

    async def raises(self, name: str) -> None:
        raise {
            "ValueError": ValueError("the prompt"),
            "CancelledError": asyncio.CancelledError("the prompt"),
            "RecursionError": RecursionError("the prompt"),
            "MemoryError": MemoryError("the prompt"),
            "KeyboardInterrupt": KeyboardInterrupt("the prompt"),
            "TimeoutError": TimeoutError("the prompt"),
            "StopIteration": StopIteration("the prompt"),
            "BaseExceptionGroup": BaseExceptionGroup("the prompt", [SystemExit(1)]),
        }[name]

    async def upstream(self, message: str) -> None:
        raise UpstreamTimeout(message, retry_after=2.5)

    async def surrogate_error(self, _: Any) -> None:
        raise UpstreamTimeout("\ud800")

    async def junk(self, kind: str) -> Any:
        return {"object": object(), "bytes": b"x", "huge": 1 << 80, "keys": {1: 2}, "surrogate": "\ud800"}[kind]

    async def large(self, size: int) -> str:
        return "x" * size

    async def background(self, text: str) -> None:
        asyncio.get_running_loop().call_soon(int, text)

    async def stream(self, method: str, payload: Any) -> AsyncGenerator[Any, None]:
        try:
            for number in range(payload["count"]):
                await self._between(method, number)
                self.log.append(f"item {number}")
                yield number
        finally:
            self.log.append("stream closed")

    async def _between(self, method: str, number: int) -> None:
        match method:
            case "slow" if number == 2:
                await asyncio.sleep(3600)
            case "paced":
                await asyncio.sleep(0.01)
            case "raises" if number == 2:
                raise ValueError("the prompt")
            case "block" if number == 2:
                time.sleep(3600)  # noqa: ASYNC251 - blocking the loop is what it is for
            case "kill" if number == 2:
                os.kill(os.getpid(), signal.SIGKILL)
