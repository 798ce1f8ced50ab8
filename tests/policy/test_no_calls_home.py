from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Every engine as it ships, judging one text; what it looked up, connected to and started in threads meanwhile.
_RUN = """
import asyncio, importlib, json, socket, sys, threading, time
from pathlib import Path

told = []
def lookup(host, *rest, **more):
    told.append(f"look-up of {host}")
    raise OSError("no network here")
def connect(self, address):
    told.append(f"connection to {address}")
    raise OSError("no network here")
socket.getaddrinfo = lookup
socket.socket.connect = connect

from policy.conftest import POLICIES, policy_of
from gateway.policy.entities import ENTITIES
from gateway.policy.rails import guardrails_ai, nemo

policies = [policy_of(file) for file in sorted(POLICIES.glob("*.yaml"))]
specs = {
    "guardrails_ai": guardrails_ai.spec(policies, POLICIES),
    "nemo": nemo.spec(policies, POLICIES),
    "pii": {"entities": list(ENTITIES)},
}
asked = {
    "guardrails_ai": {"guard": "guards/output.yaml", "texts": ["key = 'AKIAIOSFODNN7EXAMPLE'"]},
    "nemo": {"config": "nemo/jailbreak", "direction": "input", "texts": ["hello"]},
    "pii": {"entities": list(ENTITIES), "score": 0.4, "texts": ["bob@example.com 415-555-0134"]},
}

async def run(name):
    engine = importlib.import_module(f"gateway.policy.engines.{name}")
    prepared = engine.prepare(specs[name])
    threads = [t.name for t in threading.enumerate() if t is not threading.main_thread()]
    assert not threads, f"{name} started {threads} before the fork"
    async with engine.open(specs[name], prepared) as opened:
        await opened.call("inspect", asked[name])

for name in specs:
    asyncio.run(run(name))
print("\\n" + json.dumps(told))
"""


@pytest.mark.engine
def test_no_engine_reaches_for_the_network_or_starts_a_thread_before_the_fork() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _RUN],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "HOME": "/nonexistent"},
        timeout=180,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.splitlines()[-1]) == []
