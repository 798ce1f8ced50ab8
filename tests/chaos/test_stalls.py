"""Texts that keep engines busy: the loop that all other exchanges share goes on. `make chaos` tries every one of them.

What counts is what the loop's thread worked between two of its turns; a busy machine adds to what that takes.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio
from chaos.stalls import Probe, texts
from support.answers import completion
from support.paths import ASK, JSON, Canned, stream_of, walked
from support.workers import Worker, started

from gateway.config.policy import PolicySpec
from gateway.policy.load import policies
from gateway.policy.policy import Policy
from gateway.policy.rail import Tools
from gateway.policy.rails.packs import PACKS
from gateway.worker.supervisor import Host

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="module")]
# In the whole suite other tests' garbage is collected meanwhile; what a text can do to a loop takes seconds.
MOST_S = 0.020 if "CHAOS" in os.environ else 0.5
FEW = ("ends of sentences", "words in hexadecimal")
TEXTS: Mapping[str, str] = {name: text for name, text in texts().items() if name in FEW or "CHAOS" in os.environ}
BACKTRACKS = texts()["one letter, and what fits none of it"]
EVIL = (r"(a+)+$", r"(a|aa)+b", r"(x+x+)+y", r"(.*a){20}", r"([a-zA-Z]+)*!x", r"(?:[01]|[a-f])*a[a-f]{12}z")
GUARD = {"id": "guardrails/regex_match", "on_fail": "noop", "args": {"regex": r"(a+)+$", "match_type": "search"}}
RAILS: Mapping[str, dict[str, Any]] = {
    "pattern": {"kind": "pattern", "deny": EVIL, "builtin": tuple(PACKS)},
    "pii": {"kind": "pii", "action": "block"},
    "guardrails": {"kind": "guardrails", "spec": "guard.yaml"},
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def workers() -> AsyncIterator[dict[str, Worker]]:
    folder = Path(tempfile.mkdtemp(prefix="ts"))  # short: the name of a Unix socket may have 107 bytes
    entities = {"entities": ["CREDIT_CARD", "EMAIL_ADDRESS", "IBAN_CODE", "PHONE_NUMBER", "US_SSN"]}
    guards = {"guards": {"guard.yaml": {"file": "guard.yaml", "validators": [GUARD]}}}
    pii = Host("pii", "gateway.policy.engines.pii", entities, folder / "p")
    guardrails = Host("guardrails", "gateway.policy.engines.guardrails_ai", guards, folder / "g")
    async with started(pii) as one, started(guardrails) as other:
        yield {"pii": one, "guardrails": other}
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def judges(workers: dict[str, Worker], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Policy]:
    folder = tmp_path_factory.mktemp("p")
    (folder / "guard.yaml").write_text("validators: []")  # as far as its digest goes
    specs = {
        name: PolicySpec.model_validate({"name": name, "deadline_ms": 2_000, "input": (rail,), "output": (rail,)})
        for name, rail in RAILS.items()
    }
    return policies(specs, folder, Tools({name: worker.client for name, worker in workers.items()}))


@pytest.mark.parametrize("side", ["asked", "answered", "streamed"])
@pytest.mark.parametrize("rail", RAILS)
@pytest.mark.parametrize("name", TEXTS)
async def test_no_text_keeps_the_loop_from_others(
    judges: dict[str, Policy], workers: dict[str, Worker], rail: str, name: str, side: str
) -> None:
    probe, text = Probe(), TEXTS[name]
    await probe.over(walked(judges[rail], _says(text, side), body=_asks(text, side)))
    assert probe.cpu < MOST_S


async def test_an_expression_that_backtracks_ends_at_its_deadline_and_keeps_nobody(
    judges: dict[str, Policy], workers: dict[str, Worker]
) -> None:
    probe = Probe()
    heard = await probe.over(walked(judges["guardrails"], _says(BACKTRACKS, "asked"), body=_asks(BACKTRACKS, "asked")))
    assert heard.status == 503
    assert probe.cpu < MOST_S


def _asks(text: str, side: str) -> dict[str, Any]:
    if side == "asked":
        return {"model": "m", "messages": [{"role": "user", "content": text}]}
    return {**ASK, "stream": side == "streamed"}


def _says(text: str, side: str) -> Canned:
    match side:
        case "asked":
            return Canned([orjson.dumps(completion("Fine."))], (JSON,))
        case "answered":
            return Canned([orjson.dumps(completion(text))], (JSON,))
        case _:
            said = {"index": 0, "delta": {"content": text}, "finish_reason": None}
            end = {"index": 0, "delta": {}, "finish_reason": "stop"}
            return Canned(stream_of({"id": "x", "choices": [said]}, {"id": "x", "choices": [end]}))
