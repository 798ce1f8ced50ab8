"""Every example of the page about routing is loaded, served, and asked."""

from __future__ import annotations

import re
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest
import yaml
from support.answers import answer
from support.script import Script, Seen
from support.scripted import scripted
from support.serving import written
from support.speaking import speak

from gateway.app import Wiring, opened
from gateway.config.load import load
from gateway.config.traffic import Balance, Fault
from gateway.observe.metrics import Metrics

PAGE = (Path(__file__).parents[2] / "docs" / "routing.md").read_text()
EXAMPLES = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]
NAMES = ("openai", "vllm-1", "vllm-2")


def spoken(seen: Seen) -> Script:
    return answer({"data": []}) if seen.method == "GET" else speak(seen)


def whole(example: dict[str, Any], base_url: str) -> dict[str, Any]:
    """The example as part of a file: upstreams that it does not say, all of them at a scripted server."""
    said = {upstream["name"]: upstream for upstream in example.get("upstreams", ())}
    plain = {name: {"name": name, "kind": "openai"} for name in NAMES}
    upstreams = [{**upstream, "base_url": base_url} for upstream in (plain | said).values()]
    routes = example.get("routes") or [{"model": "any", "upstreams": [name]} for name in said]
    return {**example, "upstreams": upstreams, "routes": routes, "scoring": None}


@pytest.mark.parametrize("example", EXAMPLES, ids="+".join)
async def test_an_example_is_served(example: dict[str, Any], tmp_path: Path) -> None:
    keys = example.pop("keys", None)  # the page's key is nobody's
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(scripted(spoken))
        settings = whole(example, server.base_url)
        config = written(tmp_path / "g", settings | ({"keys": keys} if keys else {}), {"default": {}})
        load(config, {})
        if keys:  # who has none may ask where a split does not need one
            for route in settings["routes"]:
                route.get("split", {})["by"] = "request"
            config = written(tmp_path / "open", settings, {"default": {}})
        app = await stack.enter_async_context(opened(load(config, {}), Wiring()))
        transport = httpx.ASGITransport(app)
        client = await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://gateway"))
        for route in settings["routes"]:
            body = {"model": route["model"].replace("*", "x"), "messages": [{"role": "user", "content": "hello"}]}
            assert (await client.post("/v1/chat/completions", json=body)).status_code == 200


def test_the_page_names_every_balance_fault_and_metric() -> None:
    for word in (*get_args(Balance), *get_args(Fault)):
        assert f"| `{word}` |" in PAGE
    ours = [made.name for made in Metrics().instruments() if "upstream" in made.name or "mirror" in made.name]
    shown = PAGE.replace("`…_queued`", "`tidegate_upstream_queued`")
    assert [name for name in ours if name not in shown] == []
