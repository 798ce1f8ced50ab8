"""Which route answers a name: as it stands, by an alias, by a wildcard; and which arm of it."""

from __future__ import annotations

import time
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.paths import Canned

from gateway.config.schema import OpenAISpec, RouteSpec
from gateway.config.traffic import MemberSpec
from gateway.errors import ModelNotFound
from gateway.routing import Routes, Target
from gateway.routing.wildcard import Wildcard


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


def named(*specs: dict[str, object]) -> Routes:
    given_ = [RouteSpec.model_validate({"upstreams": ("up",), **spec}) for spec in specs]
    return Routes(given_, {"up": target(Canned([]))})


def test_an_alias_stands_for_its_route_and_so_do_names_a_wildcard_takes() -> None:
    found = named({"model": "gpt-4o", "aliases": ("gpt-4", "gpt-4o-2024-*")}, {"model": "claude-*"})
    for name in ("gpt-4o", "gpt-4", "gpt-4o-2024-08-06"):
        assert found.pick(name).model == "gpt-4o"
    assert found.pick("claude-sonnet-4-5").model == "claude-*"
    assert found.names == ["gpt-4o", "gpt-4"]


def test_upstreams_hear_the_routes_name_for_an_alias_and_the_clients_for_a_wildcard() -> None:
    found = named({"model": "gpt-4o", "aliases": ("gpt-4", "gpt-4o-2024-*")}, {"model": "claude-*"})
    assert found.pick("gpt-4").name("gpt-4") == "gpt-4o"
    assert found.pick("claude-x").name("claude-x") == "claude-x"


def test_a_name_as_it_stands_goes_first_and_then_what_fixes_most_of_it() -> None:
    found = named({"model": "*"}, {"model": "gpt-*"}, {"model": "gpt-*-mini"}, {"model": "gpt-4o-mini"})
    wanted = {"gpt-4o-mini": "gpt-4o-mini", "gpt-5-mini": "gpt-*-mini", "gpt-5": "gpt-*", "llama": "*"}
    assert {name: found.pick(name).model for name in wanted} == wanted


@pytest.mark.parametrize("name", ["", "x y", "x\n", "../x", "x" * 129, "\u0430", '{"fake": 1}'])
def test_a_wildcard_takes_nothing_that_could_not_be_a_models_name(name: str) -> None:
    with pytest.raises(ModelNotFound):
        named({"model": "*"}).pick(name)


@given(st.lists(st.sampled_from(("a", "b", "ab", "*")), min_size=1, max_size=6), st.text("ab", max_size=8))
def test_wildcards_match_as_shells_do(parts: list[str], name: str) -> None:
    pattern = "".join(parts) + "*"
    assert Wildcard.of(pattern).matches(name) == fnmatchcase(name, pattern)


def test_a_wildcard_takes_time_that_grows_with_the_name_alone() -> None:
    pattern = Wildcard.of("*a" * 40 + "b*")
    began = time.perf_counter()
    assert not pattern.matches("a" * 100_000)
    assert time.perf_counter() - began < 5
