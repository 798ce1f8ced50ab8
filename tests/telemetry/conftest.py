"""Loopback collectors, connections to them, and a log to follow."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.collecting import Collector, collecting
from support.telling import Follow, Journal, following

from gateway.upstream.pool import open_pool


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    async with collecting() as found:
        yield found


@pytest.fixture
async def follow() -> AsyncIterator[Follow]:
    async with open_pool() as pool:
        with following(pool) as found:
            yield found


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path)
