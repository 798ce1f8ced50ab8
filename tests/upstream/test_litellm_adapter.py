"""The gateway's side of litellm: what it refuses by itself, and that it loads none of it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.config.schema import LiteLLMSpec, Timeouts
from gateway.errors import NotSupported, UpstreamUnavailable
from gateway.upstream import Ask
from gateway.upstream.litellm import LiteLLM, spec
from gateway.worker.client import Client

QUESTION = b'{"model": "any", "messages": [{"role": "user", "content": "ahoy"}]}'


def named(name: str, model: str, timeouts: Timeouts | None = None) -> LiteLLMSpec:
    return LiteLLMSpec(name=name, kind="litellm", model=model, timeouts=timeouts or Timeouts())


@pytest.mark.parametrize("endpoint", ["/responses", "/completions", "/messages"])
async def test_other_endpoints_are_not_supported(tmp_path: Path, endpoint: str) -> None:
    async with Client(tmp_path / "none.sock", name="litellm") as client:
        upstream = LiteLLM(named("claude", "anthropic/x"), client)
        with pytest.raises(NotSupported, match="claude"):
            async with upstream.send(Ask(endpoint, b"{}", stream=False)):
                pass


async def test_a_worker_that_is_not_there_is_an_upstream_that_is_not_there(tmp_path: Path) -> None:
    quick = Timeouts(first_byte_s=0.1, idle_s=0.1)
    async with Client(tmp_path / "none.sock", name="litellm") as client:
        upstream = LiteLLM(named("claude", "anthropic/x", quick), client)
        with pytest.raises(UpstreamUnavailable, match="not running"):
            async with upstream.send(Ask("/chat/completions", QUESTION, stream=False)):
                pass


async def test_the_gateways_side_needs_no_litellm() -> None:
    script = "import sys, gateway.upstream.table; print('litellm' in sys.modules, 'httpx' in sys.modules)"
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "False"]


async def test_a_model_of_no_provider_is_refused_before_anything_is_served() -> None:
    upstreams = [named("good", "anthropic/claude-sonnet-4-5"), named("odd", "nobody/model-1")]
    script = (
        "import json, sys; from gateway.errors import ConfigError; from gateway.upstream import engine\n"
        "try: engine.prepare(json.load(sys.stdin))\n"
        "except ConfigError as error: print(error)"
    )
    command = [sys.executable, "-c", script]
    done = await asyncio.to_thread(
        subprocess.run, command, input=json.dumps(spec(upstreams)), capture_output=True, text=True, check=True
    )
    assert done.stdout == (
        "upstreams:1: upstream 'odd': litellm knows no provider for 'nobody/model-1'; write provider/model\n"
    )


async def test_a_configuration_without_litellm_starts_no_worker() -> None:
    assert spec([]) is None
