"""`POST /v1/score`, with the scorer itself where it lives: what is told, what is refused, what is recorded."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import pytest_asyncio
import yaml
from support.workers import Worker, started

from gateway import app
from gateway.config.load import load
from gateway.observe import events
from gateway.serve.needs import workers
from gateway.worker.supervisor import Host

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.engine]

CONTEXT = "The Eiffel Tower was completed in 1889. It is 330 metres tall and stands in Paris."
ASK = {
    "question": "How tall is it?",
    "context": CONTEXT,
    "answer": "It is 330 metres tall. It was designed by Otto Brandt.",
}
KEY = "tg-secret"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scorer(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Worker]:
    path = tmp_path_factory.mktemp("s") / "s"
    async with started(Host("scorer", "gateway.scoring.engine", {}, path)) as worker:
        yield worker


@asynccontextmanager
async def gateway(folder: Path, sockets: dict[str, Path], **settings: Any) -> AsyncIterator[httpx.AsyncClient]:
    (folder / "policies").mkdir()
    (folder / "policies" / "default.yaml").write_text(yaml.safe_dump({"name": "default", "context": ["system"]}))
    file = folder / "gateway.yaml"
    whole = {
        "policies": "policies",
        "events": {"path": "events.jsonl"},
        "keys": [{"name": "app", "sha256": sha256(KEY.encode()).hexdigest()}],
        "upstreams": [{"name": "up", "kind": "openai", "base_url": "http://127.0.0.1:9/v1"}],
        "routes": [{"model": "m", "upstreams": ["up"]}],
        **settings,
    }
    file.write_text(yaml.safe_dump(whole))
    async with app.opened(load(file, {}), app.Wiring(sockets)) as opened:
        headers = {"authorization": f"Bearer {KEY}"}
        transport = httpx.ASGITransport(opened)
        async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as client:
            yield client


@pytest_asyncio.fixture(loop_scope="module")
async def client(scorer: Worker, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with gateway(tmp_path, {"scorer": scorer.host.socket}) as made:
        yield made


def written(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "events.jsonl").read_bytes().splitlines()
    found = [orjson.loads(line) for line in lines]
    for event in found:
        events.check(event)
    return found


async def test_an_answer_is_scored_and_every_sentence_says_where_it_comes_from(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/score", json=ASK)
    assert answer.status_code == 200
    (one,) = answer.json()["data"]
    first, second = one["sentences"]
    assert first["text"] == "It is 330 metres tall. "
    assert first["evidence"]["text"] == "It is 330 metres tall and stands in Paris."
    assert first["support"] > second["support"]
    assert "names" in second["fired"]
    assert {"relevance", "groundedness", "hallucination"} <= set(one["scores"])
    assert all(0 <= value <= 1 for value in one["scores"].values())


async def test_several_answers_are_held_against_each_other(client: httpx.AsyncClient) -> None:
    same = {"question": "Where?", "answers": ["In Paris, in France.", "In Paris, in France."]}
    other = {"question": "Where?", "answers": ["In Paris, in France.", "Bananas are rich in potassium."]}
    alike, apart = [(await client.post("/v1/score", json=body)).json()["data"] for body in (same, other)]
    assert [one["index"] for one in alike] == [0, 1]
    assert alike[0]["scores"]["consistency"] > 0.95 > apart[0]["scores"]["consistency"]
    assert alike[0]["signals"]["meanings"] == 0.0
    assert "groundedness" not in alike[0]["scores"]


async def test_an_exchange_is_scored_as_the_policy_says_what_is_evidence(client: httpx.AsyncClient) -> None:
    messages = [{"role": "system", "content": CONTEXT}, {"role": "user", "content": "How tall is it?"}]
    told = {"content": [{"token": "330", "logprob": -0.25, "top_logprobs": [{"token": "330", "logprob": -0.25}]}]}
    message = {"role": "assistant", "content": "It is 330 metres tall."}
    response = {"choices": [{"index": 0, "message": message, "logprobs": told}]}
    answer = await client.post("/v1/score", json={"messages": messages, "response": response})
    (one,) = answer.json()["data"]
    assert one["scores"]["groundedness"] > 0.7
    assert one["scores"]["confidence"] == pytest.approx(0.7788, abs=1e-4)
    assert one["signals"]["nll"] == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, None),
        ({**ASK, "answers": ["x"]}, None),
        ({"answer": 7}, "answer"),
        ({"answers": []}, "answers"),
        ({"answers": ["x"] * 65}, "answers"),
        ({"answer": "x", "context": [1]}, "context"),
        ({"answer": "x", "context": ["x"] * 257}, "context"),
        ({"answer": "x", "question": ["?"]}, "question"),
        ({"messages": [], "response": "x"}, "messages"),
        ({"messages": [{"role": "user", "content": "x"}]}, "response"),
        ({"messages": [{"role": "user", "content": "x"}], "response": {"choices": []}}, "response"),
    ],
)
async def test_what_cannot_be_scored_is_refused_with_its_field(
    client: httpx.AsyncClient, body: dict[str, Any], param: str | None
) -> None:
    answer = await client.post("/v1/score", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert answer.json()["error"]["type"] == "invalid_request_error"


async def test_half_characters_are_scored_and_unknown_keys_are_not(client: httpx.AsyncClient) -> None:
    half = await client.post(
        "/v1/score", content=b'{"answer": "a \\ud83d\\ude00"}', headers={"content-type": "application/json"}
    )
    assert half.status_code == 200
    unknown = await client.post("/v1/score", json=ASK, headers={"authorization": "Bearer other"})
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (401, "invalid_api_key")


async def test_the_record_has_the_scores_and_no_text(scorer: Worker, tmp_path: Path) -> None:
    async with gateway(tmp_path, {"scorer": scorer.host.socket}) as client:
        answer = await client.post("/v1/score", json=ASK)
        await client.post("/v1/score", json={})
    begun, scored, ended, refused = written(tmp_path)
    assert [event["event"] for event in (begun, scored, ended, refused)] == [
        "exchange.started",
        "score.recorded",
        "exchange.completed",
        "exchange.completed",
    ]
    assert answer.json()["id"] == begun["id"] == scored["id"] == ended["id"]
    assert (ended["endpoint"], ended["status"], ended["principal"]) == ("/score", 200, "app")
    assert (refused["status"], refused["outcome"]) == (400, "rejected")
    assert scored["scores"] == answer.json()["data"][0]["scores"]
    assert scored["sentences"][0]["evidence"] == [40, 82]
    assert b"Eiffel" not in (tmp_path / "events.jsonl").read_bytes()


async def test_the_examples_of_the_page_are_scored(client: httpx.AsyncClient) -> None:
    page = (Path(__file__).parents[2] / "docs" / "scoring.md").read_text()
    examples = re.findall(r"^```json\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert len(examples) == 2
    for example in examples:
        answer = await client.post("/v1/score", json=json.loads(example))
        assert answer.status_code == 200
        assert 0 <= answer.json()["data"][0]["scores"]["relevance"] <= 1


async def test_the_policy_of_the_page_is_one(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "scoring.md").read_text()
    (policy,) = re.findall(r"^```yaml\n(name:.*?)^```", page, re.DOTALL | re.MULTILINE)
    (tmp_path / "policies" / "known").mkdir(parents=True)
    (tmp_path / "policies" / "grounded.yaml").write_text(policy)
    for name in ("prompts", "attacks"):
        (tmp_path / "policies" / "known" / f"{name}.txt").write_text("Hello there.\n")
    settings = {
        "policies": "policies",
        "upstreams": [{"name": "up", "kind": "openai", "base_url": "http://127.0.0.1:9/v1"}],
        "routes": [{"model": "m", "upstreams": ["up"], "policy": "grounded"}],
    }
    (tmp_path / "gateway.yaml").write_text(yaml.safe_dump(settings))
    (scorer,) = workers(load(tmp_path / "gateway.yaml", {}))
    assert set(scorer.spec["banks"]["grounded"]) == {"prompts", "attacks"}


async def test_without_a_scorer_it_says_so(tmp_path: Path) -> None:
    async with gateway(tmp_path, {}, scoring=None) as client:
        answer = await client.post("/v1/score", json=ASK)
    assert (answer.status_code, answer.json()["error"]["code"]) == (501, "not_supported")


async def test_a_scorer_that_is_gone_is_a_503_in_time(tmp_path: Path) -> None:
    async with gateway(tmp_path, {"scorer": tmp_path / "nobody"}, scoring={"deadline_ms": 200}) as client:
        answer = await client.post("/v1/score", json=ASK)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "worker_lost")
    assert written(tmp_path)[-1]["status"] == 503
