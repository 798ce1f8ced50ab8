"""How upstreams stand in a process, also while configurations come and go."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.answers import answer
from support.members import Line
from support.roads import MESSAGE
from support.scripted import scripted
from support.serving import written
from support.speaking import speak

from gateway.app import Wiring, desk, opened
from gateway.config.load import load
from gateway.config.schema import OpenAISpec
from gateway.config.traffic import BreakerSpec, HealthSpec, Load
from gateway.routing.health import Health
from gateway.routing.standing import OUT


def spec(name: str = "up", **more: object) -> OpenAISpec:
    return OpenAISpec.model_validate({"name": name, "kind": "openai", "base_url": "http://127.0.0.1/v1", **more})


def test_an_upstream_stands_as_it_did_where_nothing_of_it_changed() -> None:
    fleet = Line().fleet()
    before = fleet.standing(spec())
    assert fleet.standing(spec()) is before
    changed = fleet.standing(spec(load=Load(concurrency=1)))
    assert changed is not before
    fleet.keep(["other"])
    assert fleet.standing(spec(load=Load(concurrency=1))) is not changed


def test_rows_tell_who_is_asked_and_how_busy_each_is() -> None:
    line = Line()
    fleet = line.fleet()
    well, failing = fleet.standing(spec("well")), fleet.standing(spec("failing", breaker=BreakerSpec(failures=1)))
    assert well.gate.enter()
    well.ewma.note(line.clock.now, 0.5)
    assert failing.gate.enter()
    failing.over(line.clock.now, line.clock.now, "timeout", probe=failing.begin())
    assert list(fleet.rows()) == [("well", 1.0, 1, 0, 0.5), ("failing", 0.0, 0, 0, 0.0)]
    assert line.said == [
        (
            "upstream.ejected",
            {"upstream": "failing", "reason": "failures", "times": 1, "rest_s": pytest.approx(4.5, abs=0.5)},
        )
    ]


def test_ranks_say_who_goes_first() -> None:
    line = Line()
    fleet = line.fleet()
    up = fleet.standing(spec(load=Load(concurrency=1, queue=0)))
    now = line.clock.now
    assert up.rank(now) == 0
    up.rest(now, "rate_limit", None)
    assert (up.rank(now), up.rank(now + 2.5)) == (2, 0)
    up.checked(now, ill=True)
    assert up.rank(now) == 3
    up.checked(now, ill=False)
    assert up.gate.enter()
    assert up.rank(now + 5) == OUT
    assert up.patience(now) == 1.0


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 4), st.integers(1, 4))
def test_health_turns_only_after_as_many_checks_in_a_row_as_it_takes(checks: list[bool], bad: int, good: int) -> None:
    health, ill = Health(HealthSpec(bad=bad, good=good)), False
    for n, well in enumerate(checks, 1):
        row = 0
        for one in reversed(checks[:n]):
            if one is not well:
                break
            row += 1
        if ill == well and row >= (good if well else bad):
            ill = not ill
        assert health.note(well=well) is ill


async def test_a_reload_forgets_nothing_of_an_upstream_that_stays(tmp_path: Path) -> None:
    async with scripted(speak) as server:
        server.always(answer({"error": {}}, 500))
        base = {"name": "up", "kind": "openai", "base_url": server.base_url, "breaker": {"failures": 2}}
        body = {"model": "m", "messages": [MESSAGE]}
        routes = [{"model": "m", "upstreams": ["up"]}]
        configs = [
            load(
                written(
                    tmp_path / str(n), {"upstreams": [base], "routes": routes, "scoring": None, **more}, {"default": {}}
                ),
                {},
            )
            for n, more in enumerate(({}, {"server": {"drain_s": 5.0}}))
        ]
        statuses = []
        with desk(configs[0]) as own:
            for config in configs:
                async with opened(config, Wiring(), own) as app:
                    transport = httpx.ASGITransport(app)
                    async with httpx.AsyncClient(transport=transport, base_url="http://g") as client:
                        statuses += [
                            (await client.post("/v1/chat/completions", json=body)).status_code for _ in range(2)
                        ]
        assert statuses == [500, 500, 503, 503]
        assert len(server.seen) == 2
