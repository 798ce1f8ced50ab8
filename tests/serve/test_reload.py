"""Changed files take over whole or not at all, while the gateway serves."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from hashlib import sha256
from typing import Any

import httpx
import pytest
from support import reloading
from support.answers import deltas, stream
from support.operated import PATIENCE_S, Operated, Site, operated
from support.scripted import Server

pytestmark = pytest.mark.system

BROKEN = "name: default\noutput:\n  - pattern: {deny: [zebra], action: redakt}\n"


async def said(gateway: Operated, text: str = "a zebra and a horse", **headers: str) -> httpx.Response:
    body = {"model": "m", "messages": [{"role": "user", "content": text}]}
    async with gateway.client() as client:
        return await client.post("/v1/chat/completions", json=body, headers=headers)


async def text(gateway: Operated) -> str:
    return str((await said(gateway)).json()["choices"][0]["message"]["content"])


def redacting(site: Site, word: str) -> None:
    site.policy(output=[{"pattern": {"deny": [word], "action": "redact"}}])


async def test_a_saved_policy_takes_over_by_itself(site: Site) -> None:
    async with operated(site) as gateway:
        await gateway.ready()
        assert await text(gateway) == "a [REDACTED] and a horse"
        redacting(site, "horse")
        reloaded = await site.saw("config.reloaded")
        assert await text(gateway) == "a zebra and a [REDACTED]"
    first, second = site.events("exchange.completed")
    assert reloaded["generation"] == 2
    assert reloaded["policies"] == {"default": second["policy_digest"]}
    assert first["policy_digest"] == site.events("server.started")[0]["policies"]["default"] != second["policy_digest"]


async def test_a_folder_put_in_the_others_place_is_found(site: Site) -> None:
    async with operated(site) as gateway:
        await gateway.ready()
        other = site.folder / "other"
        shutil.copytree(site.policies, other)
        (other / "default.yaml").write_text((other / "default.yaml").read_text().replace("zebra", "horse"))
        site.policies.rename(site.folder / "before")
        other.rename(site.policies)
        await site.saw("config.reloaded")
        assert await text(gateway) == "a zebra and a [REDACTED]"


async def test_a_broken_file_is_refused_with_its_line_and_nothing_changes(site: Site) -> None:
    async with operated(site) as gateway:
        await gateway.ready()
        site.policy("second")
        (site.policies / "default.yaml").write_text(BROKEN)
        gateway.process.send_signal(signal.SIGHUP)
        refused = await site.saw("config.refused")
        place = f"{site.policies / 'default.yaml'}:3: output[0].pattern.action: 'redakt' is not known"
        assert refused["problems"][0].startswith(place)
        assert refused["generation"] == 1
        await gateway.heard(place)
        assert await text(gateway) == "a [REDACTED] and a horse"
    assert site.events("config.reloaded") == []


async def test_what_starts_again_starts_with_what_stands_not_with_what_is_on_disk(site: Site) -> None:
    async with operated(site) as gateway:
        await gateway.ready()
        redacting(site, "horse")
        await site.saw("config.reloaded")
        (site.policies / "default.yaml").write_text(BROKEN)
        await site.saw("config.refused")
        os.kill(site.events("worker.started")[0]["pid"], signal.SIGKILL)
        await site.saw("worker.restarted")
        assert await text(gateway) == "a zebra and a [REDACTED]"


async def test_files_as_they_were_change_nothing_and_asking_says_so(site: Site) -> None:
    async with operated(site) as gateway:
        await gateway.ready()
        gateway.process.send_signal(signal.SIGHUP)
        await gateway.heard("The configuration is as it was.")
    assert site.events("config.reloaded") == site.events("config.refused") == []


async def test_an_address_cannot_change_while_clients_use_it(site: Site, model: Server) -> None:
    async with operated(site) as gateway:
        await gateway.ready()
        site.configure(model.base_url, server={"port": 0, "workers": 2})
        refused = await site.saw("config.refused")
        assert "server: restart the gateway to change it" in refused["problems"][0]
        assert refused["problems"][0].startswith(f"{site.file}:")


async def test_routes_and_keys_change_too(site: Site, model: Server) -> None:
    async with operated(site) as gateway:
        await gateway.ready()
        assert (await said(gateway)).status_code == 200
        digest = sha256(b"a-key").hexdigest()
        routes = [{"model": name, "upstreams": ["up"]} for name in ("m", "n")]
        site.configure(model.base_url, keys=[{"name": "app", "sha256": digest}], routes=routes)
        await site.saw("config.reloaded")
        assert (await said(gateway)).status_code == 401
        assert (await said(gateway, authorization="Bearer a-key")).status_code == 200
        async with gateway.client() as client:
            listed = await client.get("/v1/models", headers={"authorization": "Bearer a-key"})
        assert [one["id"] for one in listed.json()["data"]] == ["m", "n"]


async def test_a_stream_ends_under_the_policy_it_began_with(site: Site, model: Server) -> None:
    words = ["zebra ", "horse ", "zebra ", "horse ", "zebra ", "horse "]
    model.play(stream(deltas(words), 0.5))
    body: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "go"}], "stream": True}
    async with operated(site) as gateway:
        await gateway.ready()
        async with gateway.client() as client, client.stream("POST", "/v1/chat/completions", json=body) as got:
            lines = got.aiter_lines()
            heard = [await anext(lines)]
            redacting(site, "horse")
            gateway.process.send_signal(signal.SIGHUP)
            await site.saw("config.reloaded")
            assert await text(gateway) == "a zebra and a [REDACTED]"
            heard += [line async for line in lines]
        whole = "".join(heard)
        assert whole.count("horse") == 3
        assert "zebra" not in whole
    streamed = next(event for event in site.events("exchange.completed") if event["stream"])
    assert streamed["policy_digest"] == site.events("server.started")[0]["policies"]["default"]


async def test_one_front_after_the_other_or_none(site: Site, model: Server) -> None:
    site.configure(model.base_url, server={"port": 0, "workers": 2})
    async with operated(site) as gateway:
        await gateway.ready()
        redacting(site, "horse")
        reloaded = await site.saw("config.reloaded")
        async with asyncio.timeout(PATIENCE_S):
            while len({event["process"] for event in site.events("exchange.completed")}) < 2:
                assert await text(gateway) == "a zebra and a [REDACTED]"
    done = site.events("exchange.completed")
    assert {event["policy_digest"] for event in done} == set(reloaded["policies"].values())


@pytest.mark.engine
async def test_an_engine_that_refuses_its_spec_is_refused_and_the_one_before_goes_on(site: Site) -> None:
    guard = site.policies / "guard.txt"
    rule = "validators:\n  - id: guardrails/ban_list\n    args: {banned_words: [%s], max_l_dist: 0}\n"
    guard.write_text(rule % "zebra")
    site.policy(input=[{"guardrails": {"spec": "guard.txt", "action": "block", "deadline_ms": 60000}}])
    async with operated(site) as gateway:
        await gateway.ready()
        assert (await said(gateway)).status_code == 400
        (worker,) = [event for event in site.events("worker.started") if event["worker"] == "guardrails"]
        guard.write_text(rule.replace("ban_list", "ban_lits") % "zebra")
        refused = await site.saw("config.refused")
        assert refused["problems"][0].startswith(f"{guard}:2: guardrails/ban_lits")
        assert (await said(gateway)).status_code == 400
        guard.write_text(rule % "giraffe")
        await site.saw("config.reloaded")
        assert (await said(gateway)).status_code == 200
        assert (await said(gateway, "a giraffe")).status_code == 400
        site.policy(input=[{"guardrails": {"spec": "guard.txt", "action": "flag", "deadline_ms": 60000}}])
        await site.saw("config.reloaded", 2)
        assert (await said(gateway, "a giraffe")).status_code == 200
    started = [event for event in site.events("worker.started") if event["worker"] == "guardrails"]
    assert len(started) == 2  # the second for the second word; what does not concern the worker starts none
    assert worker in started


@pytest.mark.engine
async def test_every_exchange_is_judged_by_one_whole_set(site: Site, model: Server) -> None:
    """Twelve changes, half of them for the worse, in 600 exchanges; `bench/reload.py` has 200 in 20,000."""
    result = await reloading.run(site, model.base_url, reloads=12, exchanges=600, workers=2)
    assert result.wrong == []
    assert len(result.heard) >= 600
    assert len(result.versions) == result.used == 7
    assert {heard.error for heard in result.heard} == {"", "content_filter"}
