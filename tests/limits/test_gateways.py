"""Real gateways: what processes and gateways admit together is what the key may, and not one more."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from support.answers import echo
from support.redis import Server
from support.scripted import scripted

from gateway.upstream.embedded import free_port

ROOT = Path(__file__).parents[2]
LIMIT, ASKED = 60, 120
pytestmark = pytest.mark.system


@contextmanager
def gateways(folder: Path, upstream: str, store: dict[str, Any], *workers: int) -> Iterator[list[str]]:
    """A gateway for each number of HTTP processes, all with the same key."""
    (folder / "policies").mkdir()
    (folder / "policies" / "p.yaml").write_text("name: p\n")
    limited = {"name": "app", "sha256": sha256(b"k").hexdigest(), "limits": {"requests_per_minute": LIMIT}}
    with ExitStack() as stack:
        urls = []
        for count in workers:
            port = free_port()
            config = {
                "server": {"port": port, "workers": count},
                "policies": "policies",
                "events": {"path": f"{port}.jsonl"},
                "keys": [limited],
                "store": store,
                "upstreams": [{"name": "u", "kind": "openai", "base_url": upstream}],
                "routes": [{"model": "m", "upstreams": ["u"], "policy": "p"}],
                "scoring": None,
            }
            file = folder / f"{port}.yaml"
            file.write_text(yaml.safe_dump(config))
            stack.enter_context(served(file))
            urls.append(f"http://127.0.0.1:{port}")
        yield urls


@contextmanager
def served(file: Path) -> Iterator[None]:
    asked = [sys.executable, "-m", "gateway", "serve", "--config", str(file)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(asked, env=env, stdout=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz").status_code == 200
    except httpx.TransportError:
        return False


async def statuses(urls: Sequence[str]) -> Counter[int]:
    """Of `ASKED` requests, four at a time to each gateway."""
    body = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}

    async def ask(url: str, count: int) -> list[int]:
        async with httpx.AsyncClient(timeout=60, headers={"authorization": "Bearer k"}) as client:
            return [(await client.post(f"{url}/v1/chat/completions", json=body)).status_code for _ in range(count)]

    asking = [ask(url, ASKED // len(urls) // 4) for url in urls for _ in range(4)]
    return Counter(status for found in await asyncio.gather(*asking) for status in found)


async def asked(urls: Sequence[str]) -> Counter[int]:
    for _ in range(600):
        if all(map(answers, urls)):
            break
        await asyncio.sleep(0.1)
    return await statuses(urls)


async def test_two_http_processes_admit_what_one_may(tmp_path: Path) -> None:
    async with scripted(echo) as up:
        with gateways(tmp_path, up.base_url, {}, 2) as urls:
            assert await asked(urls) == {200: LIMIT, 429: ASKED - LIMIT}


async def test_two_gateways_with_one_redis_admit_what_one_may(tmp_path: Path, server: Server) -> None:
    store = {"kind": "redis", "url": server.url, "timeout_ms": 1000}
    async with scripted(echo) as up:
        with gateways(tmp_path, up.base_url, store, 1, 1) as urls:
            assert await asked(urls) == {200: LIMIT, 429: ASKED - LIMIT}
