"""Which route answers a name: as it stands, by an alias, by a wildcard; and which arm of it."""

from __future__ import annotations

import pytest
from support.paths import Canned

from gateway.config.schema import OpenAISpec, RouteSpec
from gateway.config.traffic import MemberSpec
from gateway.errors import ModelNotFound
from gateway.routing import Routes, Target


def target(up: Canned) -> Target:
    return Target(up, OpenAISpec(name=up.name, kind="openai", base_url="http://127.0.0.1/v1"))


def routes(*models: str) -> Routes:
    members = (MemberSpec(name="up"),)
    return Routes([RouteSpec(model=m, upstreams=members, policy="p") for m in models], {"up": target(Canned([]))})


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
