"""A JSON Schema as operators give it, compiled; what texts break of it; or what is wrong with it, and where.

Judging is linear and bounded: expressions run without backtracking, nothing is fetched, documents have a largest size
and depth. What is broken is told by the schema's keyword, never by the text.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema_rs

from gateway.config import document
from gateway.config.document import Place, dotted
from gateway.config.wording import near
from gateway.errors import ConfigError, Problem

LARGEST = 1 << 20  # characters of a document
DEEPEST = 128  # as of a request's body; validators recurse
REGEX_BYTES = 1 << 20  # of one compiled expression

Json = Any
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")

# Keywords of JSON Schema 2020-12 and draft 7, by what stands under them. Source: their meta-schemas.
_ONE = frozenset(
    """
    additionalItems additionalProperties contains contentSchema else if items not propertyNames then
    unevaluatedItems unevaluatedProperties
    """.split()  # noqa: SIM905 - a hundred quoted words would not be read
)
_LIST = frozenset({"allOf", "anyOf", "items", "oneOf", "prefixItems"})
_NAMED = frozenset({"$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties"})
_PLAIN = frozenset(
    """
    $anchor $comment $dynamicAnchor $dynamicRef $id $recursiveAnchor $recursiveRef $ref $schema $vocabulary const
    contentEncoding contentMediaType default dependentRequired deprecated description enum examples exclusiveMaximum
    exclusiveMinimum format maxContains maxItems maxLength maxProperties maximum minContains minItems minLength
    minProperties minimum multipleOf nullable pattern readOnly required title type uniqueItems writeOnly
    """.split()  # noqa: SIM905 - as above
)
KEYWORDS = _ONE | _LIST | _NAMED | _PLAIN


class Broken(ValueError):
    """A text that is no document, or not of the shape; `rule` says how."""

    def __init__(self, rule: str) -> None:
        super().__init__(rule)
        self.rule = rule


@dataclass(frozen=True, slots=True)
class Shape:
    """A compiled schema."""

    validator: jsonschema_rs.Validator

    def check(self, value: Json) -> None:
        """Raises `Broken` with the keyword that `value` is the first to break."""
        if not self.validator.is_valid(value):
            raise Broken(next(iter(self.validator.iter_errors(value))).kind.name)


def value(text: str, most: int = LARGEST) -> Json:
    """The JSON document that `text` spells; any JSON value may be one.

    Raises `Broken` for what two readers could understand differently (`json`, and `twice` for a key that stands
    twice), and for what has more than `most` characters (`size`) or is nested too deep (`depth`).
    """
    if len(text) > most:
        raise Broken("size")
    try:
        text.encode()
        found = json.loads(text, object_pairs_hook=_unique, parse_constant=_refused, parse_float=_finite)
        if _SURROGATE.search(text):
            json.dumps(found, ensure_ascii=False).encode()  # unless it is one of a pair
    except Broken:
        raise
    except RecursionError:
        raise Broken("depth") from None
    except ValueError:
        raise Broken("json") from None
    if _deeper(found):
        raise Broken("depth")
    return found


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Broken("twice")
    return found


def _refused(constant: str) -> Json:
    raise Broken("json") from ValueError(constant)


def _finite(number: str) -> float:
    found = float(number)
    if not math.isfinite(found):
        raise Broken("json")
    return found


def _deeper(found: Json) -> bool:
    level = [found]
    for _ in range(DEEPEST):
        level = [inner for outer in level for inner in _inner(outer)]
        if not level:
            return False
    return True


def _inner(outer: Json) -> Iterable[Json]:
    found: Iterable[Json] = outer.values() if isinstance(outer, dict) else outer if isinstance(outer, list) else ()
    return [one for one in found if isinstance(one, dict | list)]


# Compiling


def given(schema: Mapping[str, Any] | None, file: str | None, folder: Path) -> Shape:
    """The schema that stands in a policy, or in `file` below `folder`.

    Raises `ConfigError`: with the file's name and line, or with a message alone for what stands in the policy.
    """
    if (schema is None) == (file is None):
        raise ConfigError([Problem("", 1, "give it either `schema` or `file`")])
    if file is None:
        return _compiled(plain(schema), lambda place, message: Problem("", 1, _at(("schema", *place), message)))
    return _read(folder / file)


def _read(file: Path) -> Shape:
    written = document.read(file)
    if written.problems:
        raise ConfigError(written.problems)

    def problem(place: Place, message: str) -> Problem:
        return Problem(str(file), written.line(place), _at(place, message))

    return _compiled(plain(written.value), problem)


def _at(place: Place, message: str) -> str:
    return f"{dotted(place)}: {message}" if place else message


def _compiled(schema: Json, problem: Any) -> Shape:
    problems = [problem(place, message) for place, message in _misspelt(schema, ())]
    try:
        options = jsonschema_rs.RegexOptions(size_limit=REGEX_BYTES, dfa_size_limit=REGEX_BYTES)
        compiled = jsonschema_rs.validator_for(
            schema,
            pattern_options=options,
            offline=True,
            validate_formats=True,
            ignore_unknown_formats=False,
        )
    except jsonschema_rs.ValidationError as error:
        place = tuple(error.instance_path)
        problems.append(problem(place, f"not a JSON Schema: {_said(error, place)}"))
    if problems:
        raise ConfigError(problems)
    return Shape(compiled)


def _said(error: jsonschema_rs.ValidationError, place: Place) -> str:
    if place[-1:] == ("pattern",) or place[-2:-1] == ("patternProperties",):
        return "an expression that cannot be judged in linear time: no look-around, no back-references, not too large"
    return error.message


def _misspelt(schema: Json, place: Place) -> Iterator[tuple[Place, str]]:
    """Words that mean nothing to JSON Schema, which would pass over them; `x-…` is for notes."""
    if not isinstance(schema, dict):
        return
    for word, inner in schema.items():
        here = (*place, word)
        if word not in KEYWORDS and not word.startswith("x-"):
            yield here, f"not a word of JSON Schema{near(word, KEYWORDS)}"
        if word in _NAMED and isinstance(inner, dict):
            for name, one in inner.items():
                yield from _misspelt(one, (*here, name))
        elif word in _LIST and isinstance(inner, list):
            for n, one in enumerate(inner):
                yield from _misspelt(one, (*here, n))
        elif word in _ONE:
            yield from _misspelt(inner, here)


def plain(found: Any) -> Json:
    """`found`, as YAML is read here, with lists for tuples."""
    match found:
        case dict():
            return {key: plain(one) for key, one in found.items()}
        case tuple() | list():
            return [plain(one) for one in found]
        case _:
            return found
