"""What real backends make of what is exported: read back whole, from Phoenix and from MLflow. `make contract`."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.backends import installed, mlflow, phoenix
from support.collecting import until
from support.telling import PARENT, TRACE, Journal, destination, following

from gateway.config.export import MLflow, OverHttp, Phoenix
from gateway.telemetry import vendors
from gateway.telemetry.destination import Destination
from gateway.upstream.pool import open_pool
from gateway.wire import trace

pytestmark = pytest.mark.skipif(not os.environ.get("BACKENDS"), reason="starts servers of others: make contract")

EXCHANGES = int(os.environ.get("EXCHANGES", "200"))
SPANS = 5  # an exchange, its upstream, two rails, the scorer
SCORES = 3  # two metrics, one feedback


def found(name: str) -> Path:
    bin_ = installed(name)
    if bin_ is None:
        pytest.skip(f"{name} is not installed in ~/.cache/tidegate-peers: tests/support/backends.py says how")
    return bin_


@pytest.fixture(scope="module")
def phoenix_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with phoenix(tmp_path_factory.mktemp("phoenix"), found("phoenix")) as url:
        yield url


@pytest.fixture(scope="module")
def mlflow_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with mlflow(tmp_path_factory.mktemp("mlflow"), found("mlflow")) as url:
        yield url


def journal(folder: Path) -> list[str]:
    """A log of exchanges, every one scored and judged by a user. The first is in its client's trace."""
    written = Journal(folder)
    idents = [written.exchange(trace=TRACE, parent=PARENT), *(written.exchange() for _ in range(EXCHANGES - 1))]
    for ident in idents:
        written.score(ident)
        written.feedback(ident, 1.0)
    return idents


def of(ident: str, n: int) -> str:
    return TRACE if n == 0 else trace.root(ident)


async def exported(folder: Path, spec: OverHttp) -> None:
    to = destination(folder, vendors.told(spec, {}), wait_s=0.5, deadline_s=60.0)
    assert isinstance(to, Destination)
    async with open_pool() as pool:
        with following(pool) as follow:
            one = follow(to)
            await one.part()
    assert one.standing.dropped.total() == 0
    assert one.standing.sent == {"traces": EXCHANGES * SPANS, "scores": EXCHANGES * SCORES}


async def test_phoenix_gives_back_every_span_and_every_score(phoenix_url: str, tmp_path: Path) -> None:
    idents = journal(tmp_path)
    await exported(tmp_path, Phoenix(kind="phoenix", endpoint=phoenix_url, project="contract"))
    spans: dict[str, Any] = {}
    with httpx.Client(base_url=f"{phoenix_url}/v1/projects/contract", timeout=60) as phoenix:

        def whole() -> bool:
            spans.update({span["context"]["span_id"]: span for span in pages(phoenix, "/spans", {"limit": 500})})
            return len(spans) >= EXCHANGES * SPANS

        await until(whole)
        servers = [trace.server_span(ident) for ident in idents]
        annotations = [
            one
            for at in range(0, len(servers), 50)
            for one in pages(phoenix, "/span_annotations", {"span_ids": servers[at : at + 50], "limit": 1000})
        ]
    assert len(spans) == EXCHANGES * SPANS
    for n, ident in enumerate(idents):
        asked = spans[trace.client_span(ident)]
        assert asked["context"]["trace_id"] == of(ident, n)
        assert (asked["parent_id"], asked["span_kind"]) == (trace.server_span(ident), "LLM")
        assert asked["attributes"]["llm.token_count.prompt"] == 100
        assert asked["attributes"]["llm.token_count.completion"] == 101
    kinds = [span["span_kind"] for span in spans.values()]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {
        "CHAIN": EXCHANGES,
        "LLM": EXCHANGES,
        "GUARDRAIL": 2 * EXCHANGES,
        "EVALUATOR": EXCHANGES,
    }
    scores = {(one["span_id"], one["name"]): one["result"]["score"] for one in annotations}
    assert len(annotations) == len(scores) == EXCHANGES * SCORES
    for span in servers:
        assert [scores[span, name] for name in ("relevance", "groundedness", "helpfulness")] == [0.75, 0.5, 1.0]


def pages(client: httpx.Client, path: str, asked: dict[str, Any]) -> Iterator[Any]:
    cursor = None
    while True:
        answer = client.get(path, params={**asked, **({"cursor": cursor} if cursor else {})})
        assert answer.status_code == 200, answer.text
        said = answer.json()
        yield from said["data"]
        cursor = said["next_cursor"]
        if not cursor:
            return


async def test_mlflow_gives_back_every_span_and_every_score(mlflow_url: str, tmp_path: Path) -> None:
    idents = journal(tmp_path)
    await exported(tmp_path, MLflow(kind="mlflow", endpoint=mlflow_url))
    async with httpx.AsyncClient(base_url=f"{mlflow_url}/api/3.0/mlflow/traces", timeout=60) as mlflow:
        for n, ident in enumerate(idents):
            answer = await mlflow.get("/get", params={"trace_id": f"tr-{of(ident, n)}"})
            assert answer.status_code == 200, answer.text
            whole = answer.json()["trace"]
            parents = {raw(span["span_id"]): raw(span.get("parent_span_id", "")) for span in whole["spans"]}
            server = trace.server_span(ident)
            assert parents.pop(server) == (PARENT if n == 0 else "")
            assert len(parents) == SPANS - 1
            assert set(parents.values()) == {server}
            info = whole["trace_info"]
            assert info["state"] == "OK" or n == 0
            used = json.loads(info["trace_metadata"]["mlflow.trace.tokenUsage"])
            assert (used["input_tokens"], used["output_tokens"]) == (100, 101)
            scores = {one["assessment_name"]: one["feedback"]["value"] for one in info["assessments"]}
            assert scores == {"relevance": 0.75, "groundedness": 0.5, "helpfulness": 1.0}
            assert len(info["assessments"]) == SCORES


def raw(said: str) -> str:
    """Of an id in JSON of protobuf: hexadecimal."""
    return base64.b64decode(said).hex()
