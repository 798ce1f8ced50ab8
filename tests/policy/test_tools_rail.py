"""Which tools may be defined and called, and with what; streamed calls are judged as whole ones are."""

from __future__ import annotations

import fnmatch
import json
import pathlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.judging import answer, asked, at_once, cut, streamed

from gateway.config.policy import ToolsSpec
from gateway.errors import ConfigError
from gateway.policy.rail import Tools, Unit
from gateway.policy.rails import tools
from gateway.policy.verdict import ALLOW, Action, Verdict
from gateway.wire import chat
from gateway.wire.passage import Passage, Path

WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
MAIL = {"schema": {"type": "object", "properties": {"to": {"pattern": "@example\\.org$"}}, "required": ["to"]}}


def rail(**said: Any) -> tools.ToolsRail:
    return tools.build(ToolsSpec.model_validate({"kind": "tools", **frozen(said)}), Tools({}))


def frozen(value: Any) -> Any:
    """Lists as YAML files are read: tuples."""
    if isinstance(value, dict):
        return {key: frozen(inner) for key, inner in value.items()}
    return tuple(map(frozen, value)) if isinstance(value, list) else value


def rules(*verdicts: Verdict) -> set[str]:
    return {finding.rule for verdict in verdicts for finding in verdict.findings}


def request(body: dict[str, Any], **said: Any) -> set[str]:
    """What a request's tools break. Its passages are those of the wire."""
    whole = {"model": "m", "messages": [{"role": "user", "content": "Hello"}], **body}
    return rules(*at_once(rail(**said), *chat.prompts(whole)))


def function(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "description": "Does it.", "parameters": {}}}


# What a request defines…


def test_a_request_may_define_what_is_allowed_and_not_denied() -> None:
    said = {"allow": ("get_*", "search"), "deny": ("*_admin",)}
    assert request({"tools": [function("get_time"), function("search")]}, **said) == set()
    assert request({"tools": [function("get_time"), function("set_time")]}, **said) == {"not_allowed"}
    assert request({"tools": [function("get_admin")]}, **said) == {"denied"}
    assert request({}, **said) == set()


@pytest.mark.parametrize(
    "body",
    [
        {"tools": [function("rm")]},
        {"tools": [{"type": "custom", "custom": {"name": "rm", "format": {"type": "text"}}}]},
        {"tools": [{"type": "web_search_preview"}]},
        {"tools": [{"type": "function", "name": "rm", "parameters": {}}]},
        {"functions": [{"name": "rm", "parameters": {}}]},
        {"function_call": {"name": "rm"}},
        {"tool_choice": {"type": "function", "function": {"name": "rm"}}},
        {"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"name": "rm"}]}}},
    ],
)
def test_every_way_of_naming_a_tool_is_seen(body: dict[str, Any]) -> None:
    assert request(body, allow=("ls",)) == {"not_allowed"}


def test_nothing_else_of_a_request_is_a_tool() -> None:
    body = {
        "messages": [{"role": "user", "name": "rm", "content": "rm"}],
        "tools": [function("ls")],
        "tool_choice": "auto",
        "function_call": "none",
        "metadata": {"name": "rm"},
    }
    assert request(body, allow=("ls",)) == set()


def test_an_empty_allow_list_allows_none() -> None:
    assert request({"tools": [function("ls")]}, allow=()) == {"not_allowed"}


@pytest.mark.parametrize("name", ["get time", "get_time\n", "gеt_time", "", "a" * 129, "-rf"])
def test_what_is_no_name_is_not_allowed_whatever_the_list(name: str) -> None:
    (verdict,) = at_once(rail(allow=("*",)), asked(name, "", "tool", ("tools", 0, "function", "name")))
    assert rules(verdict) == {"name"}


def test_names_are_denied_in_any_case_and_allowed_in_one() -> None:
    assert request({"tools": [function("Delete_User")]}, deny=("delete_*",)) == {"denied"}
    assert request({"tools": [function("Get_User")]}, allow=("get_*",)) == {"not_allowed"}


@given(st.text("ab*", max_size=6), st.text("ab", min_size=1, max_size=8))
def test_a_glob_matches_as_globs_do(glob: str, name: str) -> None:
    assert tools.Globs.of([glob]).match(name) is fnmatch.fnmatchcase(name, glob)


def test_a_glob_of_many_stars_is_matched_in_no_time() -> None:
    assert not tools.Globs.of(["*a" * 60 + "b"]).match("a" * 128)


# What a model calls…


def tool_calls(*called: tuple[str, str]) -> dict[str, Any]:
    listed = [
        {"id": f"call_{n}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for n, (name, arguments) in enumerate(called)
    ]
    return {"choices": [{"index": 0, "message": {"role": "assistant", "content": None, "tool_calls": listed}}]}


def passages(body: dict[str, Any]) -> list[Passage]:
    return [Passage(d.path, "assistant", "output", d.text, d.channel) for d in chat.deltas(body)]


def answered(body: dict[str, Any], **said: Any) -> set[str]:
    return rules(*at_once(rail(**said), *passages(body)))


def test_a_call_of_a_tool_that_is_not_allowed_is_blocked() -> None:
    said = {"allow": ("get_*",)}
    assert answered(tool_calls(("get_time", "{}")), **said) == set()
    assert answered(tool_calls(("get_time", "{}"), ("rm", "{}")), **said) == {"not_allowed"}
    assert at_once(rail(**said), *passages(tool_calls(("rm", "{}"))))[0].action is Action.BLOCK
    old = {"choices": [{"index": 0, "message": {"function_call": {"name": "rm", "arguments": "{}"}}}]}
    assert answered(old, **said) == {"not_allowed"}


def test_arguments_must_match_their_tools_schema() -> None:
    said = {"arguments": {"get_weather": {"schema": WEATHER}, "mail_*": MAIL}}
    assert answered(tool_calls(("get_weather", '{"city": "Rome"}'), ("other", "{")), **said) == set()
    assert answered(tool_calls(("get_weather", "{}")), **said) == {"get_weather.required"}
    assert answered(tool_calls(("mail_send", '{"to": "a@example.com"}')), **said) == {"mail_*.pattern"}
    assert answered(tool_calls(("get_weather", '{"city": "Rome"')), **said) == {"get_weather.json"}
    assert answered(tool_calls(("get_weather", '{"city": "Rome", "city": "Bonn"}')), **said) == {"get_weather.twice"}


def test_every_rule_that_names_a_tool_holds() -> None:
    said = {"arguments": {"get_*": {"deny": {"*": ["Bonn"]}}, "get_weather": {"schema": WEATHER}}}
    assert answered(tool_calls(("get_weather", '["Bonn"]')), **said) == {"get_*.deny.*", "get_weather.type"}


@pytest.mark.parametrize(
    ("arguments", "denied"),
    [
        ('{"path": "/etc/passwd"}', True),
        ('{"path": "\\u002fetc/passwd"}', True),
        ('{"path": "/ｅtc/passwd"}', True),
        ('{"path": {"inner": ["a", "/etc/passwd"]}}', True),
        ('{"path": {"/etc/passwd": 1}}', True),
        ('{"path": "L2V0Yy9wYXNzd2Q="}', True),
        ('{"path": "/etc/passwd",}', True),
        ('{"note": "/etc/passwd"}', False),
        ('{"path": "/tmp/a"}', False),
        ("{}", False),
    ],
)
def test_an_argument_must_not_match_what_is_denied_in_any_disguise(arguments: str, denied: bool) -> None:
    said = {"arguments": {"read": {"deny": {"path": ["/etc/"]}}}}
    assert answered(tool_calls(("read", arguments)), **said) == ({"read.deny.path"} if denied else set())


def test_numbers_and_words_of_json_are_arguments_too() -> None:
    said = {"arguments": {"pay": {"deny": {"*": ["^(true|[0-9]{4,})$"]}}}}
    assert answered(tool_calls(("pay", '{"amount": 999, "fast": false}')), **said) == set()
    assert answered(tool_calls(("pay", '{"amount": 1000}')), **said) == {"pay.deny.*"}
    assert answered(tool_calls(("pay", '{"fast": true}')), **said) == {"pay.deny.*"}


def test_a_tool_that_takes_text_is_judged_by_its_text() -> None:
    call = {"id": "c", "type": "custom", "custom": {"name": "shell", "input": "rm -rf /"}}
    body = {"choices": [{"index": 0, "message": {"tool_calls": [call]}}]}
    assert answered(body, arguments={"shell": {"deny": {"*": ["rm -rf"]}}}) == {"shell.deny.*"}


def test_arguments_without_a_name_are_nobodys() -> None:
    body = {"choices": [{"index": 0, "message": {"tool_calls": [{"function": {"arguments": "{}"}}]}}]}
    assert answered(body, arguments={"*": {"schema": {}}}) == {"unnamed"}
    turned = {"choices": [{"index": 0, "message": {"tool_calls": [{"function": {"arguments": "1", "name": "a"}}]}}]}
    assert answered(turned, arguments={"a": {"schema": WEATHER}}) == {"a.type"}


def test_what_the_model_says_is_no_call() -> None:
    assert at_once(rail(allow=()), answer("rm"), answer("rm", "reasoning")) == [ALLOW, ALLOW]


# Streamed…

NAMES = ("get_weather", "mail_send", "rm", "none")
ARGUMENTS = ('{"city": "Rome"}', '{"to": "a@example.org"}', "{}", '{"city": 1}', '{"city": "A. B. C\\n"}')
POLICIES = (
    {"allow": ("get_*", "mail_*")},
    {"allow": ("get_*", "mail_*"), "arguments": {"get_weather": {"schema": WEATHER}, "mail_*": MAIL}},
)


@st.composite
def stream(draw: st.DrawFn) -> tuple[dict[str, Any], list[Passage], list[Path]]:
    """Some calls; and the same as they stream, one after the other, each in the first place of its chunk.

    The keys are what tells their texts from one another.
    """
    called = draw(st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(ARGUMENTS)), min_size=1, max_size=3))
    where = draw(st.lists(st.integers(1, 30), max_size=5))
    body = tool_calls(*called)
    pieces: list[Passage] = []
    keys: list[Path] = []
    for whole in passages(body):
        place = ("choices", 0, "delta", "tool_calls", 0, *whole.path[5:])
        new = [Passage(place, "assistant", "output", piece, whole.channel) for piece in cut(whole.text, where)]
        pieces += new
        keys += [whole.path] * len(new)
    return body, pieces, keys


@given(stream(), st.sampled_from(POLICIES))
def test_streamed_calls_are_judged_as_whole_ones_and_a_bad_one_is_not_delivered(
    case: tuple[dict[str, Any], list[Passage], list[Path]], said: dict[str, Any]
) -> None:
    body, pieces, keys = case
    whole = answered(body, **said)
    verdict, delivered = streamed(rail(**said), pieces, keys)
    assert bool(whole) is (verdict.action is Action.BLOCK)
    if not whole:
        assert delivered == "".join(p.text for p in pieces)
    elif "arguments" in said:
        assert delivered == ""
    else:
        bad = next(c["function"]["name"] for c in body["choices"][0]["message"]["tool_calls"] if wrong(c))
        assert bad not in delivered


def wrong(call: dict[str, Any]) -> bool:
    return call["function"]["name"] in {"rm", "none"}


def test_calls_that_stream_in_the_same_place_keep_to_their_own_rules() -> None:
    said = {"arguments": {"get_weather": {"schema": WEATHER}, "mail_*": MAIL}}
    one = [
        in_chunk("name", "get_weather"),
        in_chunk("arguments", '{"city": "Rome"}'),
        in_chunk("name", "mail_send"),
        in_chunk("arguments", '{"to": "a@example.org"}'),
    ]
    assert at_once(rail(**said), *one) == [ALLOW] * 4
    muddled = [one[0], one[2], one[1], one[3]]
    assert rules(*at_once(rail(**said), *muddled)) == {"mail_*.required", "get_weather.required"}


def in_chunk(step: str, text: str) -> Passage:
    channel = "arguments" if step == "arguments" else "field"
    return Passage(("choices", 0, "delta", "tool_calls", 0, "function", step), "assistant", "output", text, channel)


def test_names_alone_do_not_hold_an_answer_to_its_end() -> None:
    assert rail(allow=("a",)).unit is Unit.SENTENCE
    assert rail(arguments={"a": {"schema": {}}}).unit is Unit.ANSWER


# Refusing to start…


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({}, "forbids nothing"),
        ({"arguments": {"a": {}}}, "arguments.a.give it either `schema` or `file`"),
        ({"arguments": {"a": {"schema": {"typ": 1}}}}, "arguments.a.schema.typ: not a word of JSON Schema"),
        ({"arguments": {"a": {"deny": {"b": ["("]}}}}, "arguments.a.deny.b: deny[0]: RE2 cannot compile it"),
        ({"arguments": {"a": {"deny": {"b": []}}}}, "arguments.a.deny.b: nothing to look for"),
    ],
)
def test_rules_that_cannot_be_used_are_refused(said: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError) as caught:
        rail(**said)
    assert why in caught.value.problems[0].message


def test_a_schema_in_a_file_is_refused_with_its_line(tmp_path: pathlib.Path) -> None:
    (tmp_path / "weather.json").write_text(json.dumps({"typ": "object"}))
    spec = ToolsSpec.model_validate({"kind": "tools", "arguments": {"a": {"file": "weather.json"}}})
    with pytest.raises(ConfigError) as caught:
        tools.build(spec, Tools({}, folder=tmp_path))
    assert str(caught.value).startswith(f"{tmp_path / 'weather.json'}:1: typ: ")
