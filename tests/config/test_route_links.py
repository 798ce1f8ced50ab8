"""Routes in the file: what goes together, what must exist, and where a mistake is said to be."""

# ruff: noqa: E501  # a case is one line, however long
from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config.load import load
from gateway.config.schema import RouteSpec
from gateway.errors import ConfigError

FILE = """\
upstreams:
  - {name: one, kind: openai, base_url: "http://127.0.0.1:1/v1", api_keys: [a, b]}
  - {name: two, kind: openai, base_url: "http://127.0.0.1:2/v1"}
  - {name: own, kind: embedded}
routes:
  - model: m
    aliases: [n, "m-*"]
    balance: least
    upstreams: [{name: one, weight: 2, model: x}, two]
  - model: split
    split: {by: request, arms: [{name: a, upstreams: [one]}, {name: b, upstreams: [two]}]}
    mirror: {name: two, share: 0.5}
scoring: null
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config").mkdir()
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "default.yaml").write_text("name: default\n")
    return tmp_path


def loaded(folder: Path, old: str = "", new: str = "") -> tuple[RouteSpec, ...]:
    assert old in FILE
    file = folder / "config" / "gateway.yaml"
    file.write_text(FILE.replace(old, new, 1) if old else FILE)
    return load(file, {}).gateway.routes


def test_an_upstream_may_stand_alone_or_with_its_settings(folder: Path) -> None:
    first, second = loaded(folder)
    assert [(m.name, m.weight, m.model) for m in first.members] == [("one", 2.0, "x"), ("two", 1.0, None)]
    assert [arm.name for arm in first.arms] == [""]
    assert [(arm.name, [m.name for m in arm.upstreams]) for arm in second.arms] == [("a", ["one"]), ("b", ["two"])]


CASES = [
    ("name: one, weight: 2", "name: onne, weight: 2", "9: routes[0].upstreams[0].name: no upstream named 'onne'; did you mean 'one'?"),
    ("weight: 2, model: x}, two", "weight: 2, modle: x}, two", "9: routes[0].upstreams[0].modle: unknown key; did you mean 'model'? (allowed: model, name, weight)"),
    ("weight: 2", "weight: 0", "9: routes[0].upstreams[0].weight: should be greater than 0"),
    ("{name: one, weight: 2, model: x}, two", "two, {name: two}", "9: routes[0].upstreams[1].name: stands twice in this list"),
    ("{name: one, weight: 2, model: x}", "{name: own, model: x}", "9: routes[0].upstreams[0].model: upstream 'own' has one model, which stands where the upstream does"),
    ("balance: least", "balance: fallback", "9: routes[0].upstreams[0].weight: counts only with `balance` as one of: latency, least, weight"),
    ("balance: least", "balance: lest", "8: routes[0].balance: 'lest' is not known; did you mean 'least'? (one of: fallback, latency, least, price, weight)"),
    ("balance: least", "sticky: {by: key}\n    balance: least", "8: routes[0].sticky.by: there are no keys to tell clients apart; use `prompt`"),
    ("balance: least", "sticky: {by: prompt}", "8: routes[0].sticky: upstreams that stand in order cannot be sticky; give it `balance`, one of: latency, least, weight"),
    ("balance: least", "balance: least\n    fallback_on: [timeuot]", "9: routes[0].fallback_on[0]: 'timeuot' is not known; did you mean 'timeout'?"),
    ("balance: least", "balance: least\n    retries: {budget: 2}", "9: routes[0].retries.budget: should be at most 1"),
    ('aliases: [n, "m-*"]', "aliases: [n, split]", "7: routes[0].aliases[1]: the same stands on line 10"),
    ('aliases: [n, "m-*"]', "aliases: ['n o']", "7: routes[0].aliases[0]: should be a model's name"),
    ("    upstreams: [{name: one, weight: 2, model: x}, two]\n", "", "6: routes[0].upstreams: is missing"),
    ("mirror: {name: two, share: 0.5}", "upstreams: [two]", "12: routes[1].upstreams: the arms of the `split` have the upstreams; leave these out"),
    ("mirror: {name: two, share: 0.5}", "mirror: {name: tow}", "12: routes[1].mirror.name: no upstream named 'tow'; did you mean 'two'?"),
    ("mirror: {name: two, share: 0.5}", "mirror: {name: two, share: 0}", "12: routes[1].mirror.share: should be greater than 0"),
    ("by: request", "by: key", "11: routes[1].split.by: there are no keys to tell clients apart; use `request`"),
    ("{name: b, upstreams", "{name: a, upstreams", "11: routes[1].split.arms[1].name: the same stands on line 11"),
    ("{name: b, upstreams: [two]}", "{name: b, upstreams: [tow]}", "11: routes[1].split.arms[1].upstreams[0]: no upstream named 'tow'; did you mean 'two'?"),
    ("{name: b, upstreams: [two]}", "", "11: routes[1].split.arms: one arm is no split: give it another one"),
    ("api_keys: [a, b]", "api_keys: [a, a]", "2: upstreams[0].api_keys[1]: the same key stands in this list twice"),
    ("api_keys: [a, b]", "api_keys: [a, ''], api_key: c", "2: upstreams[0].api_key: stands among upstreams[0].api_keys; leave out one of both"),
    ("api_keys: [a, b]", "health: {path: models}", "2: upstreams[0].health.path: should be a path that begins with /"),
    ("api_keys: [a, b]", "load: {concurrency: 0}", "2: upstreams[0].load.concurrency: should be at least 1"),
    ("api_keys: [a, b]", "breaker: {rests: 1}", "2: upstreams[0].breaker.rests: unknown key; did you mean 'rest_s'?"),
    ("{name: own, kind: embedded}", "{name: own, kind: embedded, health: {}}", "4: upstreams[2].health: unknown key"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "said"), CASES)
def test_a_mistake_is_told_by_line_place_and_remedy(folder: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        loaded(folder, old, new)
    told = [str(problem).rpartition("gateway.yaml:")[2] for problem in refused.value.problems]
    assert any(line.startswith(said) for line in told), told


def test_no_key_is_repeated_in_what_is_said(folder: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        loaded(folder, "api_keys: [a, b]", "api_keys: [sk-canary-1, sk-canary-1, 3]")
    assert "canary" not in str(refused.value)
