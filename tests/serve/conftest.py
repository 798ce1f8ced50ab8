"""A configuration to serve, and the scripted model behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.operated import Site
from support.scripted import Server, scripted


@pytest.fixture
async def model() -> AsyncIterator[Server]:
    async with scripted() as server:
        yield server


@pytest.fixture
def site(model: Server, tmp_path: Path) -> Site:
    """One route to the scripted model; the policy forbids one word on the way in and takes one out on the way back."""
    made = Site(tmp_path)
    made.policy(
        input=[{"pattern": {"deny": ["forbidden"], "action": "block"}}],
        output=[{"pattern": {"deny": ["zebra"], "action": "redact"}}],
    )
    made.configure(model.base_url)
    return made
