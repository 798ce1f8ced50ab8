"""JSON bodies: read once, walked string by string, rewritten at a path. Knows no endpoint."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from gateway.errors import RequestError
from gateway.wire.passage import Path

MAX_DEPTH = 128
"""Nesting a body may have. Real bodies stay under 20; a tool's JSON Schema is the deepest part."""

_KEY = re.compile(rb'"\s*:')


def read(raw: bytes) -> dict[str, Any]:
    """The JSON object that `raw` spells.

    Raises `RequestError` (400) for anything that two readers could understand differently: invalid UTF-8, lone
    surrogates, NaN, duplicate keys, a byte order mark, text after the end. Source: RFC 8259; ASVS 5.0 1.5.3.
    """
    if not raw.strip():
        raise RequestError("The request has no body; send a JSON object.")
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise RequestError(f"The body is not valid JSON: {_where(error)}.") from None
    if not isinstance(body, dict):
        raise RequestError(f"The body must be a JSON object, not {name_of(body)}.")
    _refuse_twins(raw, body)
    return body


def _where(error: orjson.JSONDecodeError) -> str:
    """The parser's words without the document: it is the client's text."""
    return f"{error.msg.split(':')[0]} (line {error.lineno}, column {error.colno})"


def _refuse_twins(raw: bytes, body: dict[str, Any]) -> None:
    """Refuse duplicate keys: the upstream might read the one that we did not judge.

    Every key is a quote followed by a colon, so as many of those as there are keys means no duplicates. Strings may
    hold that pair too: only then is the body read once more, slowly.
    """
    if len(_KEY.findall(raw)) == _keys(body, 0):
        return
    try:
        json.loads(raw, object_pairs_hook=_unique)
    except RecursionError:
        raise RequestError(_TOO_DEEP) from None


_TOO_DEEP = f"The body is nested deeper than {MAX_DEPTH} levels."


def _unique(pairs: list[tuple[str, Any]]) -> None:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise RequestError("The body has the same key twice in one object; keys must be unique.")
        seen.add(key)


def _keys(value: Any, depth: int) -> int:
    if depth > MAX_DEPTH:
        raise RequestError(_TOO_DEEP)
    if isinstance(value, dict):
        return len(value) + sum(_keys(v, depth + 1) for v in value.values() if isinstance(v, dict | list))
    return sum(_keys(v, depth + 1) for v in value if isinstance(v, dict | list))


def strings(value: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Every string value below `value`, with its path. Keys are not values."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from strings(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from strings(item, (*path, index))


def rewritten(body: dict[str, Any], texts: Iterable[tuple[Path, str]]) -> dict[str, Any]:
    """`body` with the string at each path replaced. What is not on a path is shared, not copied."""
    out = dict(body)
    for path, text in texts:
        holder: Any = out
        for step in path[:-1]:
            child = holder[step]
            holder[step] = dict(child) if isinstance(child, dict) else list(child)
            holder = holder[step]
        holder[path[-1]] = text
    return out


def spliced(raw: bytes, body: dict[str, Any], key: str, value: Any) -> bytes:
    """`raw` with top-level `key` set to `value`, every other byte as it came where that can be told for sure.

    A key that is new is put in front. One whose string value stands exactly once is replaced in place. Otherwise the
    body is encoded anew.
    """
    new = orjson.dumps(value)
    if key not in body:
        start = raw.index(b"{") + 1
        comma = b"," if body else b""
        return raw[:start] + orjson.dumps(key) + b":" + new + comma + raw[start:]
    found = list(re.finditer(re.escape(orjson.dumps(key)) + rb'\s*:\s*("(?:[^"\\]|\\.)*")', raw))
    if len(found) == 1 and raw.count(orjson.dumps(key)) == 1 and orjson.loads(found[0][1]) == body[key]:
        return raw[: found[0].start(1)] + new + raw[found[0].end(1) :]
    return orjson.dumps({**body, key: value})


def name_of(value: Any) -> str:
    """What JSON calls the type of `value`, for messages."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "an object"
