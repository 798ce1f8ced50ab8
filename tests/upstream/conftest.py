"""A server that says what it is told, and connections to it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from support.scripted import Server, scripted

from gateway.upstream.pool import Pool, open_pool


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with scripted() as running:
        yield running


@pytest.fixture
async def pool() -> AsyncIterator[Pool]:
    async with open_pool() as opened:
        yield opened
