"""Answers that must be JSON of a shape: what is one, what breaks it, and which schemas are refused at start."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # it has no stubs of its own
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from support.judging import answer, asked, at_once, cut, streamed

from gateway.config.policy import SchemaSpec
from gateway.errors import ConfigError
from gateway.policy.rail import Tools, Unit
from gateway.policy.rails import schema, shape
from gateway.policy.verdict import ALLOW, Action, Verdict

WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string", "minLength": 1}, "celsius": {"type": "number", "minimum": -90}},
    "required": ["city"],
    "additionalProperties": False,
}
TREE = {"type": "object", "properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}}, "additionalProperties": False}
MIXED = {"oneOf": [{"type": "integer"}, {"type": "array", "items": {"enum": [1, "a", None]}, "uniqueItems": True}]}
GOOD = '{"city": "Rostock", "celsius": 11.5}'


def spec(**said: Any) -> SchemaSpec:
    return SchemaSpec.model_validate({"kind": "schema", **said})


def rail(said: dict[str, Any] | None = None, **more: Any) -> schema.SchemaRail:
    return schema.build(spec(schema=WEATHER if said is None else said, **more), Tools({}))


def rules(verdict: Verdict) -> set[str]:
    return {finding.rule for finding in verdict.findings}


def broken(text: str, **more: Any) -> set[str]:
    (verdict,) = at_once(rail(**more), answer(text))
    return rules(verdict)


def test_an_answer_of_the_shape_passes_and_another_is_blocked() -> None:
    said = at_once(rail(), answer(GOOD), answer('{"city": ""}'), answer("It is 11.5 degrees."))
    assert [v.action for v in said] == [Action.ALLOW, Action.BLOCK, Action.BLOCK]
    assert [rules(v) for v in said] == [set(), {"minLength"}, {"json"}]


def test_it_can_flag() -> None:
    (verdict,) = at_once(rail(action="flag"), answer("{}"))
    assert (verdict.action, rules(verdict)) == (Action.FLAG, {"required"})


def test_only_what_the_model_says_to_the_user_is_judged() -> None:
    others = [answer("hm", channel) for channel in ("reasoning", "refusal", "arguments", "field")]
    assert at_once(rail(), *others, asked("What is the weather?"), answer("")) == [ALLOW] * 6


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ('{"city": "a", "city": "b"}', "twice"),
        ('{"city": "a"} and more', "json"),
        ('{"city": "a", "celsius": NaN}', "json"),
        ('{"city": "a", "celsius": 1e999}', "json"),
        ('{"city": "\\ud800"}', "json"),
        ('{"city": "\ud800"}', "json"),
        ("9" * 5000, "json"),
        ("[" * 129 + "]" * 129, "depth"),
        ("[" * 100_000, "depth"),
        (" " * shape.LARGEST + "1", "size"),
        ("", "nothing"),
    ],
)
def test_what_two_readers_could_read_differently_is_no_document(text: str, rule: str) -> None:
    assert broken(text) == ({rule} if text else set())


def test_as_deep_as_a_body_may_be_is_not_too_deep() -> None:
    assert broken("[" * 128 + "]" * 128, said={"type": "array"}) == set()


FENCED = [f"```json\n{GOOD}\n```", f"\n```\n{GOOD}```\n", f"```JSON  \r\n{GOOD}\r\n``` ", GOOD]


@pytest.mark.parametrize("text", FENCED)
def test_a_fence_is_looked_into_where_the_policy_says_so(text: str) -> None:
    assert broken(text, strip_fences=True) == set()
    assert bool(broken(text)) is (text != GOOD)


@pytest.mark.parametrize(
    "text", ["```", "``````", "```json", "```json\n```", f"```{GOOD}```", f"Here:\n```\n{GOOD}\n```", f"```\n{GOOD}"]
)
def test_what_is_no_fence_around_the_whole_answer_is_judged_as_it_stands(text: str) -> None:
    assert broken(text, strip_fences=True) == {"json"}


values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False, allow_infinity=False) | st.text("ab"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(("left", "right", "city")), inner),
    max_leaves=8,
)


@given(st.sampled_from((WEATHER, TREE, MIXED)), values | st.sampled_from([json.loads(GOOD), {"left": {"right": {}}}]))
def test_it_judges_as_the_reference_implementation_does(said: dict[str, Any], value: Any) -> None:
    right = jsonschema.Draft202012Validator(said).is_valid(value)
    (verdict,) = at_once(rail(said), answer(json.dumps(value)))
    assert (verdict is ALLOW) is right


@given(st.sampled_from((GOOD, '{"city": 1}', "no", f"{GOOD} ")), st.lists(st.integers(0, 40), max_size=8))
def test_a_streamed_answer_is_judged_as_a_whole_one_and_nothing_leaves_before(text: str, where: list[int]) -> None:
    (whole,) = at_once(rail(), answer(text))
    said, delivered = streamed(rail(), [answer(piece) for piece in cut(text, where)])
    assert (said.action, rules(said)) == (whole.action, rules(whole))
    assert delivered == ("" if whole.action is Action.BLOCK else text)
    assert rail().unit is Unit.ANSWER


def test_a_catastrophic_expression_is_judged_in_linear_time() -> None:
    said = {"type": "string", "pattern": "^(a+)+$"}
    assert broken(json.dumps("a" * 500_000 + "b"), said=said) == {"pattern"}


def test_branches_that_refer_to_the_whole_schema_do_not_multiply() -> None:
    branch = {"properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}}}
    deep: Any = 1
    for _ in range(60):
        deep = {"left": deep, "right": deep} if deep == 1 else {"left": deep}
    assert broken(json.dumps(deep), said={"allOf": [branch, branch, branch]}) == set()


# Refusing to start…


def refused(said: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        schema.build(spec(**said), Tools({}))
    return "; ".join(problem.message for problem in caught.value.problems)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"type": "strnig"}, "schema.type: not a JSON Schema"),
        ({"propreties": {}}, "schema.propreties: not a word of JSON Schema; did you mean 'properties'?"),
        ({"anyOf": [{"allOf": [{"typ": "null"}]}]}, "schema.anyOf[0].allOf[0].typ: not a word"),
        ({"properties": {"a": {"pattern": "(?=b)c"}}}, "schema.properties.a.pattern: not a JSON Schema: an expression"),
        ({"pattern": "(a)\\1"}, "linear time"),
        ({"pattern": "(a{1000}){1000}"}, "linear time"),
        ({"patternProperties": {"(?<=a)b": {}}}, "linear time"),
        ({"format": "e-mail"}, "schema.format: not a JSON Schema: Unknown format"),
        ({"$ref": "https://example.com/schema.json"}, "retrieving it failed"),
        ({"$ref": "file:///etc/hostname"}, "retrieving it failed"),
        ({"$ref": "#/$defs/none"}, "does not exist"),
        ({"$schema": "https://example.com/mine"}, "Unknown meta-schema"),
    ],
)
def test_a_schema_that_cannot_be_used_is_refused(said: dict[str, Any], why: str) -> None:
    assert why in refused({"schema": said})


def test_notes_and_names_of_properties_are_not_mistaken_for_words() -> None:
    said = {"x-owner": "support", "properties": {"typ": {}}, "enum": [{"typ": 1}], "default": {"typ": 2}}
    assert schema.build(spec(schema=said), Tools({})).name == "schema"


@pytest.mark.parametrize("said", [{}, {"schema": {}, "file": "a.json"}])
def test_the_schema_stands_in_one_place(said: dict[str, Any]) -> None:
    assert refused(said) == "give it either `schema` or `file`"


def test_an_answer_cannot_be_redacted_into_shape() -> None:
    with pytest.raises(ValidationError):
        spec(schema={}, action="redact")


def test_a_schema_in_a_file_is_read_and_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "good.json").write_text(json.dumps(WEATHER, indent=2))
    found = schema.build(spec(file="good.json"), Tools({}, folder=tmp_path))
    assert at_once(found, answer(GOOD)) == [ALLOW]
    (tmp_path / "bad.json").write_text('{\n  "type": "object",\n  "requird": ["a"]\n}\n')
    with pytest.raises(ConfigError) as caught:
        schema.build(spec(file="bad.json"), Tools({}, folder=tmp_path))
    assert str(caught.value).startswith(f"{tmp_path / 'bad.json'}:3: requird: not a word of JSON Schema")
