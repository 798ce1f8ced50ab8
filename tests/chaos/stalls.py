"""How long an event loop was kept from others, and texts that keep engines busy."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")
SIZE = 65_536  # characters


@dataclass(slots=True)
class Probe:
    """Runs once in every turn of the loop. `cpu` and `wall` are the longest turn, in seconds.

    A busy machine takes the loop's thread off its core, and that is no stall of ours: `cpu` is what the thread worked.
    """

    cpu: float = 0.0
    wall: float = 0.0
    _at: tuple[float, float] = (0.0, 0.0)
    _on: bool = field(default=True)

    def tick(self) -> None:
        now = time.thread_time(), time.perf_counter()
        self.cpu, self.wall = max(self.cpu, now[0] - self._at[0]), max(self.wall, now[1] - self._at[1])
        self._at = now
        if self._on:
            asyncio.get_running_loop().call_soon(self.tick)

    async def over(self, work: Awaitable[T]) -> T:
        self._at = time.thread_time(), time.perf_counter()
        self.tick()
        try:
            done = await work
            await asyncio.sleep(0)
        finally:
            self._on = False
        return done


def filled(unit: str, end: str = "") -> str:
    return (unit * (SIZE // len(unit) + 1))[: SIZE - len(end)] + end


def texts() -> Mapping[str, str]:
    """What is known to take long: for expressions that backtrack, for automata, for what takes disguises off."""
    encoded = base64.b64encode(b"hello world").decode()
    return {
        "one letter": filled("a"),
        "one letter, and what fits none of it": filled("a", "!"),
        "two letters": filled("ab"),
        "blanks": filled(" ", "x"),
        "digits": filled("1"),
        "digits and blanks": filled("4111 "),
        "ends of sentences": filled("A. "),
        "lines": filled("a\n"),
        "half an address": filled("a@"),
        "half a host": filled("a."),
        "hosts": filled("http://a.b/ "),
        "quotes": filled("' or 1=1 "),
        "per cent": filled("%61"),
        "escapes": filled("\\u0061"),
        "references": filled("&#97;"),
        "look-alikes": filled("а"),
        "zero width": filled("a\u200b"),
        "base64": base64.b64encode(filled("hello world, ").encode()).decode()[:SIZE],
        "words in base64": filled(f"{encoded} "),
        "words in hexadecimal": filled("68656c6c6f "),
        "tags": filled("\U000e0061"),
        "selectors": filled("\ufe00"),
        "selectors that nearly say something": filled("\ufe00\U000e0131"),
        "placeholders": filled("<A_1"),
        "brackets": filled("<"),
        "angles": filled("<a href='"),
        "numbers": filled("+1 (415) 555-0134, "),
    }
