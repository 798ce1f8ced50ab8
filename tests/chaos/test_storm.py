"""Workers that die, hang or talk nonsense cost refusals and nothing else; `make chaos` has all, and more clients."""

from __future__ import annotations

from pathlib import Path

import pytest
from chaos.storm import FAULTS, staged, struck

CLIENTS, EACH = 20, 2


@pytest.mark.engine
@pytest.mark.system
async def test_nothing_passes_a_worker_that_is_gone_and_nobody_else_notices(tmp_path: Path) -> None:
    async with staged(tmp_path, ("pii",)) as stage:
        for fault in FAULTS:
            outcome = await struck(stage, "pii", fault, clients=CLIENTS, each=EACH)
            assert not outcome.odd, fault
            assert outcome.passed == 0, fault
            assert outcome.unavailable + outcome.blocked == CLIENTS * EACH, fault
            assert outcome.others == (CLIENTS // 4) * EACH, fault
            assert fault == "kill" or outcome.unavailable > 0, fault
        assert not [seen for seen in stage.model.seen if b"ada@example.org" in seen.body], "a model was told"
