"""Reloads and new HTTP processes in the middle of traffic cost nobody anything; `make rolling` has the full size."""

from __future__ import annotations

import pytest
from support import rolling
from support.operated import Site
from support.scripted import Server

pytestmark = pytest.mark.system


async def test_reloads_and_rolling_restarts_cut_nothing(site: Site, model: Server) -> None:
    run = await rolling.run(site, model, reloads=1, renewals=1, requests=200, streams=6)
    assert run.wrong == []
    assert run.renewed == 2  # both processes
    assert run.answered >= 200
    assert run.streamed >= 6
