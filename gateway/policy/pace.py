"""Long work on an event loop in pieces: others have their turn every few milliseconds."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

TURN_S = 0.004


@dataclass(slots=True)
class Pace:
    """Ask `due` between two pieces, and `rest` when it is so."""

    since: float = field(default_factory=time.perf_counter)

    def due(self) -> bool:
        return time.perf_counter() - self.since > TURN_S

    async def rest(self) -> None:
        await asyncio.sleep(0)
        self.since = time.perf_counter()
