"""Engines in real workers, and the policies that ship."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from support.workers import Worker, started

from gateway.config.document import read
from gateway.config.policy import PolicySpec, one_key
from gateway.worker.supervisor import Host

POLICIES = Path(__file__).parents[2] / "policies"
Hosted = Callable[[str, str, Any], AbstractAsyncContextManager[Worker]]


@pytest.fixture(scope="module")
def sockets() -> Iterator[Path]:
    """Short, because the name of a Unix socket may have 107 bytes."""
    path = Path(tempfile.mkdtemp(prefix="tp"))
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def hosted(sockets: Path) -> Hosted:
    """Run an engine's module in a worker; what lies beside the tests can be imported by it."""

    @asynccontextmanager
    async def run(name: str, module: str, spec: Any) -> AsyncIterator[Worker]:
        env = {"PYTHONPATH": str(Path(__file__).parent / "validators")}
        async with started(Host(name, f"gateway.policy.engines.{module}", spec, sockets / name, env)) as worker:
            yield worker

    return run


@pytest.fixture(scope="module")
def shipped() -> dict[str, PolicySpec]:
    """The policies in `policies/`, by name."""
    return {policy.name: policy for policy in map(policy_of, sorted(POLICIES.glob("*.yaml")))}


def policy_of(file: Path) -> PolicySpec:
    written = read(file)
    assert not written.problems
    stages = {stage: tuple(map(one_key, written.value.get(stage, ()))) for stage in ("input", "output")}
    return PolicySpec.model_validate({**written.value, **stages})
