"""`overlap: true`: rails that need time judge the request while an upstream is asked already.

Rails that wait for nothing go first, so what they refuse is never sent and what they take out is not in what is.
Until the others have judged, nothing of the answer is told; where they refuse, the upstream is left.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from gateway.errors import TidegateError
from gateway.policy.policy import Bench
from gateway.policy.rail import Unit


def split(bench: Bench) -> tuple[Bench, Bench]:
    """The rails of `bench` that wait for nothing, and the others."""
    first = [bound for bound in bench.bounds if bound.rail.unit is Unit.MATCH]
    return replace(bench, bounds=first), replace(bench, bounds=[b for b in bench.bounds if b not in first])


@asynccontextmanager
async def beside(verdict: Coroutine[Any, Any, None]) -> AsyncIterator[asyncio.Task[None]]:
    """Have the `verdict` found while the block goes on; it is a task that can be waited for.

    An error that it raises cancels the block, and is raised; one that the block raises waits to see whether the
    verdict is an error too: a refusal must not depend on who was quicker.
    """
    try:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(verdict)
            try:
                yield task
            except TidegateError:
                await task
                raise
    except BaseExceptionGroup as errors:
        raise _one(errors) from None


def _one(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The verdict's error before the block's: it is added first."""
    return next((error for error in errors.exceptions if isinstance(error, TidegateError)), errors.exceptions[0])
