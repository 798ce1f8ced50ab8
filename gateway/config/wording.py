"""Pydantic's findings in the operator's words: where in the file, what is wrong, what was perhaps meant."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gateway.config.document import Document, Place

_TYPES = {
    "string_type": "should be text; put it in quotes",
    "int_type": "should be a whole number",
    "float_type": "should be a number",
    "bool_type": "should be true or false",
    "tuple_type": "should be a list",
    "model_type": "should be a mapping of keys to values",
    "model_attributes_type": "should be a mapping of keys to values",
    "dict_type": "should be a mapping of keys to values",
    "missing": "is missing",
    "too_short": "should not be empty",
}
_SHAPES = {
    r"^[0-9a-f]{64}$": "should be a SHA-256 digest: 64 hexadecimal digits in lower case",
    r"^https?://": "should begin with http:// or https://",
    r"^[A-Za-z0-9][A-Za-z0-9._/:-]{0,127}$": "should be a name of letters, digits and . _ / : -, 128 at most",
    r"^[A-Za-z0-9*][A-Za-z0-9._/:@*-]{0,127}$": "should be a model's name, letters, digits and . _ / : @ -, with * for"
    " any part of it; 128 at most",
    r"^/[\x21-\x7e]{0,255}$": "should be a path that begins with /",
}
_BOUNDS = {
    "greater_than": "greater than {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than": "less than {lt:g}",
    "less_than_equal": "at most {le:g}",
}


def refuse(document: Document, found: ValidationError, schema: type[BaseModel]) -> None:
    """Write down every error of `found`, which `schema` had with the document's value."""
    for error in found.errors(include_url=False, include_context=True):
        place = _place(document.value, error["loc"])
        if error["type"] == "union_tag_invalid" and "kind" in _at(document.value, place):
            place = (*place, "kind")
        if place not in document.refused and not _follows(error):
            document.refuse(place, _words(document, place, error, schema))


def _follows(error: ErrorDetails) -> bool:
    """Whether a list is called empty only because what is in it was refused."""
    return error["type"] == "too_short" and bool(error["input"])


def near(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or nothing."""
    close = get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def listed(words: Collection[str]) -> str:
    return ", ".join(sorted(words)) or "none"


def _place(value: Any, loc: Iterable[str | int]) -> Place:
    """`loc` without the tags that pydantic puts in for a union's members and that are nowhere in the file."""
    place: list[str | int] = []
    for step in loc:
        if place and isinstance(place[-1], int) and isinstance(value, dict) and value.get("kind") == step:
            continue
        place.append(step)
        value = _inside(value, step)
    return tuple(place)


def _at(value: Any, place: Place) -> Any:
    for step in place:
        value = _inside(value, step)
    return value


def _inside(value: Any, step: str | int) -> Any:
    match value, step:
        case dict(), str():
            return value.get(step)
        case tuple(), int() if step < len(value):
            return value[step]
        case _:
            return None


def _words(document: Document, place: Place, error: ErrorDetails, schema: type[BaseModel]) -> str:
    context: Mapping[str, Any] = error.get("ctx", {})
    match error["type"]:
        case "extra_forbidden":
            known = _keys(schema, error["loc"][:-1]) - (set() if place[0] == "upstreams" else {"kind"})
            return f"unknown key{near(str(place[-1]), known)} (allowed: {listed(known)})"
        case "literal_error":
            return _choice(document, place, error["input"], re.findall(r"'([^']*)'", context["expected"]))
        case "union_tag_invalid":
            return _choice(document, place, context["tag"], re.findall(r"'([^']*)'", context["expected_tags"]))
        case "union_tag_not_found":
            return _NO_KIND.get(str(place[0]), "kind is missing")
        case kind if kind in _BOUNDS:
            return f"should be {_BOUNDS[kind].format(**context)}"
        case kind:
            return _SHAPES.get(context.get("pattern", "")) or _TYPES.get(
                kind, error["msg"].removeprefix("Input ").removeprefix("Value error, ")
            )


_RAIL = "a rail is one key with its settings below it, such as `- pattern: {deny: ['…']}`"
_EXPORT = "a destination is one key with its settings below it, such as `- otlp: {endpoint: 'http://…'}`"
_NO_KIND = {
    "upstreams": "kind is missing (embedded, openai, litellm)",
    "input": _RAIL,
    "output": _RAIL,
    "export": _EXPORT,
}


def _choice(document: Document, place: Place, said: Any, known: list[str]) -> str:
    if not isinstance(said, str) or place in document.hidden:
        return f"should be one of: {listed(known)}"
    return f"{said!r} is not known{near(said, known)} (one of: {listed(known)})"


def _keys(schema: type[BaseModel], loc: Iterable[str | int]) -> set[str]:
    """The keys that may stand at `loc`, where `loc` still has its tags."""
    models: list[type[BaseModel]] = [schema]
    for step in loc:
        if isinstance(step, int):
            continue
        inner = _tagged(models, step) or [m for model in models for m in _models(_annotation(model, step))]
        models = inner or models  # a name in a mapping, of which all values are alike
    return {field.alias or name for model in models for name, field in model.model_fields.items()}


def _tagged(models: list[type[BaseModel]], tag: str) -> list[type[BaseModel]]:
    return [m for m in models if "kind" in m.model_fields and tag in get_args(m.model_fields["kind"].annotation)]


def _annotation(model: type[BaseModel], name: str) -> Any:
    fields = (field for key, field in model.model_fields.items() if name in {key, field.alias})
    return next((field.annotation for field in fields), None)


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models(inner)]
