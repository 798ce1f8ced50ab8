"""A scorer that is killed or hangs costs scores, never traffic; what waits for it ends by `on_error`."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Literal

import pytest
import pytest_asyncio
from support.workers import Worker, started

from gateway.config.policy import PolicySpec
from gateway.policy.docket import Docket
from gateway.policy.load import policies
from gateway.policy.policy import Bench
from gateway.policy.rail import Subject, Tools
from gateway.policy.verdict import Action, Verdict
from gateway.scoring.sampler import Sample, Sampler
from gateway.wire.passage import Passage
from gateway.worker.supervisor import Host

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.engine]

DOCUMENT = "The Eiffel Tower is 330 metres tall."
PATIENT_S = 60.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scorer(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Worker]:
    path = tmp_path_factory.mktemp("s") / "s"
    async with started(Host("scorer", "gateway.scoring.engine", {}, path)) as worker:
        yield worker


async def judged(
    scorer: Worker, on_error: Literal["closed", "open"], deadline_ms: int, text: str = DOCUMENT
) -> tuple[Verdict, str]:
    """The verdict on an answer by a policy that blocks what is not grounded, and the rail's fault."""
    rail = {"kind": "score", "metric": "groundedness", "below": 0.5, "action": "block"}
    spec = PolicySpec.model_validate({"name": "p", "on_error": on_error, "deadline_ms": deadline_ms, "output": (rail,)})
    (policy,) = policies({"p": spec}, Path(), Tools({"scorer": scorer.client})).values()
    docket = Docket()
    subject = Subject([Passage((), "assistant", "output", text)], "How tall is it?", [DOCUMENT])
    (verdict,) = await Bench(policy.output, "output", docket, time.monotonic).judged(subject)
    return verdict, docket.judgements()[0].fault


async def hung(scorer: Worker) -> None:
    os.kill((await scorer.client.ping(deadline_s=PATIENT_S))["pid"], signal.SIGSTOP)


async def test_where_the_scorer_hangs_an_inline_rail_ends_by_its_on_error_in_time(scorer: Worker) -> None:
    assert (await judged(scorer, "closed", 60_000))[0].action is Action.ALLOW
    await hung(scorer)
    began = time.monotonic()
    (closed, why), (opened, why_too) = await asyncio.gather(judged(scorer, "closed", 50), judged(scorer, "open", 50))
    assert time.monotonic() - began < PATIENT_S / 2
    assert (closed.action, closed.fault, why) == (Action.BLOCK, True, "timeout")
    assert (opened.action, why_too) == (Action.ALLOW, "timeout")


async def test_another_takes_its_place_and_judges_again(scorer: Worker) -> None:
    bananas, fault = await judged(scorer, "closed", 60_000, "Bananas are sold in Lima by Otto Brandt.")
    assert (bananas.action, bananas.fault, fault) == (Action.BLOCK, False, "")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
async def test_beside_the_path_only_its_scores_are_lost(scorer: Worker, how: signal.Signals) -> None:
    recorded: list[str] = []
    sampler = Sampler(scorer.client, lambda sample, _scores, _seconds: recorded.append(sample.id), deadline_s=PATIENT_S)
    task = asyncio.create_task(sampler.run())
    os.kill((await scorer.client.ping(deadline_s=PATIENT_S))["pid"], how)
    began = time.monotonic()
    for n in range(40):
        sampler.offer(Sample(f"{n}", "m", "up", "How tall?", (DOCUMENT,), "It is 330 metres tall."))
    assert time.monotonic() - began < 1.0  # nobody waits
    async with asyncio.timeout(2 * PATIENT_S):
        await sampler.queue.join()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert len(recorded) + sampler.failed == 40
    assert recorded[-1:] == ["39"]  # of what came later nothing is lost
