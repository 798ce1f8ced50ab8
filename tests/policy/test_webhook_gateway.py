"""A gateway that is configured with a service asks it, through the application as it is composed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
from support.answers import answer, completion
from support.deciding import SECRET
from support.scripted import Server, scripted

from gateway.app import Wiring, opened
from gateway.config.load import load

POLICY = """\
name: default
input:
  - webhook: {{name: dlp, url: "{url}", secret: "${{HOOK_SECRET}}", deadline_ms: 20000}}
"""
GATEWAY = """\
events: {{path: events.jsonl}}
upstreams: [{{name: up, kind: openai, base_url: "{url}"}}]
routes: [{{model: m, upstreams: [up]}}]
"""


async def test_a_configured_service_decides_what_reaches_the_model(tmp_path: Path) -> None:
    async with scripted() as service, scripted() as model:
        service.play(
            answer({"verdicts": [{"action": "block", "rule": "card"}]}),
            answer({"verdicts": [{"action": "redact", "edits": [{"start": 0, "end": 5, "new": "Howdy"}]}]}),
            answer({"verdicts": "what?"}),
        )
        model.always(answer(completion("Hi.")))
        blocked, rewritten, broken = await asked(tmp_path, service, model, 3)

    assert (blocked.status_code, blocked.json()["error"]["code"]) == (400, "content_filter")
    assert (rewritten.status_code, broken.status_code) == (200, 503)
    assert [seen.json()["messages"][0]["content"] for seen in model.seen] == ["Howdy there"]
    first = service.seen[0]
    assert first.json()["policy"] == "default"
    assert first.header("webhook-signature").startswith("v1,")
    assert service.accepted == 1
    assert SECRET not in (tmp_path / "config" / "events.jsonl").read_text()


async def asked(folder: Path, service: Server, model: Server, times: int) -> list[httpx.Response]:
    for name, text in (
        ("policies/default.yaml", POLICY.format(url=service.base_url)),
        ("config/gateway.yaml", GATEWAY.format(url=model.base_url)),
    ):
        (folder / name).parent.mkdir()
        (folder / name).write_text(text)
    config = load(folder / "config" / "gateway.yaml", {"HOOK_SECRET": SECRET})
    body: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hello there"}]}
    async with opened(config, Wiring()) as app:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            return [await client.post("/v1/chat/completions", json=body) for _ in range(times)]
