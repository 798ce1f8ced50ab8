"""A scorer on a local Ray: what it says is what the scorer of this machine says. `make ray` installs Ray for it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio
import yaml
from support.workers import Worker, started

from gateway.config.load import load
from gateway.errors import WorkerFault, WorkerLost
from gateway.observe.spool import Records
from gateway.serve.needs import workers
from gateway.worker.supervisor import Host

pytestmark = [
    pytest.mark.engine,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(find_spec("ray") is None, reason="wants Ray, which is an extra: make ray"),
]

ITEM = {
    "id": "ex-1",
    "route": "m",
    "question": "How tall is the tower?",
    "context": ["The tower was completed in 1889. It is 330 metres tall."],
    "answer": "It is 330 metres tall. It was designed by Otto Brandt.",
}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ray")
    (folder / "policies").mkdir()
    (folder / "policies" / "default.yaml").write_text("name: default\n")
    told = {
        "policies": "policies",
        "events": {"path": "events.jsonl"},
        "upstreams": [{"name": "u", "kind": "openai", "base_url": "http://127.0.0.1:9/v1"}],
        "routes": [{"model": "m", "upstreams": ["u"]}],
        "scoring": {"ray": "http://127.0.0.1:8811/", "token": "${REPLICAS}"},
        "monitor": {"state": "state"},
    }
    (folder / "gateway.yaml").write_text(yaml.safe_dump(told))
    return folder / "gateway.yaml"


@pytest.fixture(scope="module")
def replicas(config: Path) -> Iterator[None]:
    import ray  # noqa: PLC0415 - an extra
    from ray import serve  # noqa: PLC0415

    from gateway.serve.replicas import app  # noqa: PLC0415

    os.environ["REPLICAS"] = "told"
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False, configure_logging=False)
    try:
        serve.start(http_options={"host": "127.0.0.1", "port": 8811})
        serve.run(app({"config": str(config), "replicas": "2"}), route_prefix="/")
        yield
    finally:
        serve.shutdown()
        ray.shutdown()


def host(config: Path, folder: Path, token: str) -> Host:
    (worker,) = [one for one in workers(load(config, {"REPLICAS": token})) if one.name == "scorer"]
    return Host("scorer", worker.engine, worker.spec, folder / "s")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def remote(replicas: None, config: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Worker]:
    async with started(host(config, tmp_path_factory.mktemp("r"), "told")) as worker:
        yield worker


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def local(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Worker]:
    async with started(Host("scorer", "gateway.scoring.engine", {}, tmp_path_factory.mktemp("l") / "s")) as worker:
        yield worker


async def asked(worker: Worker, method: str, payload: Any) -> Any:
    return await worker.client.call(method, payload, deadline_s=60)


async def test_scores_are_those_of_this_machine(remote: Worker, local: Worker) -> None:
    there, here = [(await asked(worker, "score", {"items": [ITEM]}))["scores"][0] for worker in (remote, local)]
    for name in ("relevance", "groundedness", "hallucination"):
        assert there[name] == pytest.approx(here[name], abs=0.02)
    assert [s["fired"] for s in there["sentences"]] == [s["fired"] for s in here["sentences"]]


async def test_many_calls_at_once_are_all_answered_by_both_replicas(remote: Worker) -> None:
    said = await asyncio.gather(*(asked(remote, "score", {"items": [{**ITEM, "id": f"x{n}"}]}) for n in range(64)))
    assert all(one["scores"][0]["groundedness"] is not None for one in said)
    assert not any("records" in one for one in said)


async def test_vectors_come_back_for_the_monitor(remote: Worker, config: Path) -> None:
    await asked(remote, "score", {"items": [{**ITEM, "id": "seen"}]})
    found = Records(config.parent / "state" / "vectors").read()
    mine = [record for record in found if record.head["id"] == "seen"]
    assert [record.head["kind"] for record in mine] == ["prompt", "answer"]
    assert {len(record.body) for record in mine} == {2 * 384}


async def test_what_the_scorer_refuses_is_refused_here(remote: Worker) -> None:
    with pytest.raises(WorkerFault, match="list of items"):
        await asked(remote, "score", {})
    with pytest.raises(WorkerFault, match="no such method"):
        await asked(remote, "__init__", {})


async def test_without_the_token_nothing_is_scored(replicas: None, config: Path, tmp_path: Path) -> None:
    async with started(host(config, tmp_path, "guessed")) as worker:
        with pytest.raises(WorkerLost, match="token"):
            await asked(worker, "score", {"items": [ITEM]})


async def test_a_replica_that_is_killed_is_another_ones_work(replicas: None, remote: Worker) -> None:
    import psutil  # noqa: PLC0415 - comes with Ray

    mine = [p for p in psutil.process_iter(["cmdline"]) if "ServeReplica" in " ".join(p.info["cmdline"] or ())]
    assert len(mine) == 2
    mine[0].kill()
    until, answered = time.monotonic() + 60, 0
    while answered < 10 and time.monotonic() < until:
        try:
            answered += bool(orjson.dumps(await asked(remote, "score", {"items": [ITEM]})))
        except WorkerLost:  # the call that it had in hand
            await asyncio.sleep(0.2)
    assert answered == 10
