"""Who answers a model name. (How upstreams are tried in turn: test_pipeline.)"""

from __future__ import annotations

from contextlib import aclosing

import pytest
from support.paths import JSON, Canned

from gateway.config.schema import OpenAISpec, RouteSpec
from gateway.errors import ModelNotFound, UpstreamBroken, UpstreamUnavailable
from gateway.routing import Routes, Target, asked
from gateway.upstream import Ask

ASK = Ask("/chat/completions", b"{}", stream=False)


def target(up: Canned) -> Target:
    return Target(up, OpenAISpec(name=up.name, kind="openai", base_url="http://127.0.0.1/v1"))


def routes(*models: str) -> Routes:
    return Routes([RouteSpec(model=m, upstreams=("up",), policy="p") for m in models], {"up": target(Canned([]))})


def test_a_model_is_found_by_its_exact_name() -> None:
    route = routes("gpt-4o", "gpt-4o-mini").pick("gpt-4o")
    assert (route.model, route.policy, [t.upstream.name for t in route.targets]) == ("gpt-4o", "p", ["up"])


@pytest.mark.parametrize(
    ("asked_for", "hint"),
    [
        ("gpt-4o-mimi", "Did you mean 'gpt-4o-mini'?"),
        ("GPT-4O-MINI", "GET /v1/models"),
        ("../etc/passwd", "GET /v1/models"),
        ("gpt-4o-mini\n", "Did you mean 'gpt-4o-mini'?"),
        ("x" * 100_000, "GET /v1/models"),
    ],
)
def test_an_unknown_model_is_not_repeated_but_the_one_meant_is_named(asked_for: str, hint: str) -> None:
    with pytest.raises(ModelNotFound) as unknown:
        routes("gpt-4o-mini", "claude").pick(asked_for)
    assert hint in unknown.value.message
    assert asked_for not in unknown.value.message
    assert (unknown.value.status, unknown.value.param, unknown.value.code) == (404, "model", "model_not_found")


async def test_an_upstream_that_is_passed_over_is_left_at_once() -> None:
    first, second = Canned([b"x"], (JSON,), 503, "first"), Canned([b"y"], (JSON,), name="second")
    tried: list[str] = []
    async with asked([target(first), target(second)], lambda _: ASK, tried) as answered:
        assert (answered.target.upstream.name, tried, first.open) == ("second", ["first", "second"], 0)
        async with aclosing(answered.reply.chunks) as chunks:
            assert [chunk async for chunk in chunks] == [b"y"]


async def test_an_error_while_the_answer_is_read_asks_nobody_else() -> None:
    first, second = Canned([], (JSON,), name="first"), Canned([], (JSON,), name="second")
    with pytest.raises(UpstreamBroken, match="halfway"):
        async with asked([target(first), target(second)], lambda _: ASK, []):
            raise UpstreamBroken("halfway")
    assert second.asks == []


async def test_a_route_without_upstreams_says_so() -> None:
    with pytest.raises(UpstreamUnavailable):
        async with asked([], lambda _: ASK, []):
            pass
