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

MAX_VALUES = 75_000
"""Values a request may have: `[{},{}…` takes 36 times its bytes once it is read, as many strings 70 times theirs."""

MAX_NUMBERS = 400_000
"""Of them and numbers together: a request for embeddings may carry 300,000 tokens, and a number takes little."""

_TOO_DEEP = f"The body is nested deeper than {MAX_DEPTH} levels."

_TOO_MANY = f"The body has more than {MAX_VALUES:,} values."
_NUMBER = re.compile(rb"[,\[]\s*[\d-]")
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)

# The quote that ends a key: followed by a colon, and not itself escaped. The first half is found ten times faster.
_QUOTE_COLON = re.compile(rb'"\s*:')
_KEY_END = re.compile(rb'(?<!\\)(?:\\\\)*"\s*:')


class Unreadable(ValueError):
    """Bytes that are not a JSON object of a sane depth."""


def read(raw: bytes) -> dict[str, Any]:
    """The JSON object that `raw` spells.

    Raises `RequestError` (400) for anything that two readers could understand differently: invalid UTF-8, lone
    surrogates, NaN, duplicate keys, a byte order mark, text after the end. Source: RFC 8259; ASVS 5.0 1.5.3.
    """
    if not raw or raw.isspace():
        raise RequestError("The request has no body; send a JSON object.")
    if len(raw) > MAX_VALUES:
        _refuse_crowds(raw)
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


def _refuse_crowds(raw: bytes) -> None:
    """Refuse too many values before there are any. What separates them is in texts too: those are looked at last."""
    if _separators(raw) > MAX_VALUES and _crowded(raw):
        raise RequestError(_TOO_MANY)


def _crowded(raw: bytes) -> bool:
    """Whether there are too many outside of strings."""
    count = numbers = at = 0
    for end, start in _between_strings(raw):
        piece = raw[at:end]
        count += _separators(piece)
        numbers += len(_NUMBER.findall(piece))
        if count - numbers > MAX_VALUES or count > MAX_NUMBERS:
            return True
        at = start
    return False


def _between_strings(raw: bytes) -> Iterator[tuple[int, int]]:
    """Where each string begins and ends; last, where the body does."""
    yield from (string.span() for string in _STRING.finditer(raw))
    yield len(raw), len(raw)


def _separators(raw: bytes) -> int:
    return raw.count(b",") + raw.count(b"[") + raw.count(b"{")


def _refuse_twins(raw: bytes, body: dict[str, Any]) -> None:
    """Refuse duplicate keys: the upstream might read the one that we did not judge.

    Every key ends in a quote and a colon, so as many of those as there are keys means no duplicates. A string that
    begins with a colon looks like one more: only then is the body read once more, slowly.
    """
    keys = _keys(body, 1)
    if len(_QUOTE_COLON.findall(raw)) != keys and len(_KEY_END.findall(raw)) != keys:
        json.loads(raw, object_pairs_hook=_unique, parse_int=len, parse_float=len)


def _unique(pairs: list[tuple[str, Any]]) -> None:
    if len({key for key, _ in pairs}) != len(pairs):
        raise RequestError("The body has the same key twice in one object; keys must be unique.")


def _keys(value: dict[str, Any] | list[Any], depth: int) -> int:
    if depth > MAX_DEPTH:
        raise RequestError(_TOO_DEEP)
    items: Iterable[Any] = value
    count = 0
    if type(value) is dict:
        items, count = value.values(), len(value)
    for item in items:
        if type(item) is dict or type(item) is list:
            count += _keys(item, depth + 1)
    return count


def answer(raw: bytes) -> dict[str, Any]:
    """The JSON object that an upstream spelled, read as leniently as can be: what it means is for the client to say.

    Half a surrogate pair, as some servers send where they cut a stream, is kept. Raises `Unreadable`.
    """
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        body = _lenient(raw)
    if not isinstance(body, dict):
        raise Unreadable("it is not a JSON object")
    return body


def _lenient(raw: bytes) -> Any:
    try:
        return json.loads(raw.decode())
    except (ValueError, RecursionError):
        raise Unreadable("it is not JSON") from None


def encoded(body: dict[str, Any]) -> bytes:
    """`body` as JSON in UTF-8; with ASCII escapes where it holds what UTF-8 cannot, half a surrogate pair."""
    try:
        return orjson.dumps(body)
    except TypeError:
        return json.dumps(body, separators=(",", ":")).encode()


def strings(value: Any, path: Path = ()) -> list[tuple[Path, str]]:
    """Every string at or below `value`, which stands at `path`, in order. Names of fields are none.

    Raises `Unreadable` where they are nested too deep.
    """
    found: list[tuple[Path, str]] = []
    if type(value) is str:
        found.append((path, value))
    else:
        _collect(value, path, found)
    return found


def _collect(value: Any, path: Path, found: list[tuple[Path, str]]) -> None:
    if len(path) > MAX_DEPTH:
        raise Unreadable(f"it is nested deeper than {MAX_DEPTH} levels")
    for step, item in value.items() if type(value) is dict else enumerate(value if type(value) is list else ()):
        kind = type(item)
        if kind is str:
            found.append(((*path, step), item))
        elif kind is dict or kind is list:
            _collect(item, (*path, step), found)


def keys(value: Any) -> set[str]:
    """Every name of a field in `value`, however deep."""
    found: set[str] = set()
    _gather(value, found)
    return found


def _gather(value: Any, found: set[str]) -> None:
    items: Iterable[Any] = ()
    if type(value) is dict:
        found.update(value)
        items = value.values()
    elif type(value) is list:
        items = value
    for item in items:
        if type(item) is dict or type(item) is list:
            _gather(item, found)


def rewritten(body: dict[str, Any], texts: Iterable[tuple[Path, str]]) -> dict[str, Any]:
    """`body` with the string at each path replaced. What is not on a path is shared, not copied."""
    out = dict(body)
    own: dict[Path, Any] = {(): out}  # by path: what was copied already
    for path, text in texts:
        _own(path[:-1], own)[path[-1]] = text
    return out


def _own(path: Path, own: dict[Path, Any]) -> Any:
    holder = own.get(path)
    if holder is None:
        outer = _own(path[:-1], own)
        child = outer[path[-1]]
        holder = outer[path[-1]] = own[path] = dict(child) if isinstance(child, dict) else list(child)
    return holder


def spliced(raw: bytes, body: dict[str, Any], key: str, value: Any) -> bytes:
    """`raw`, which spells `body`, with top-level `key` set to `value` and every other byte as it came.

    `value` differs from what is there. A key that is new is put in front.
    """
    new = orjson.dumps(value)
    if key not in body:
        start = raw.index(b"{") + 1
        comma = b"," if body else b""
        return raw[:start] + orjson.dumps(key) + b":" + new + comma + raw[start:]
    return _at_the_only(raw, key, value, new) or _at_the_member(raw.decode(), key, new.decode()).encode()


def _at_the_only(raw: bytes, key: str, value: Any, new: bytes) -> bytes | None:
    """Try the one place where the key's plain spelling and a string stand: it might belong to an inner object."""
    found = list(re.finditer(re.escape(orjson.dumps(key)) + rb'\s*:\s*("(?:[^"\\]|\\.)*")', raw))
    if len(found) != 1:
        return None
    out = raw[: found[0].start(1)] + new + raw[found[0].end(1) :]
    return out if orjson.loads(out).get(key) == value else None


_SKIP = json.JSONDecoder(parse_int=len, parse_float=len, object_pairs_hook=len)
_GAP = re.compile(r"[\s:,]*")


def _at_the_member(raw: str, key: str, new: str) -> str:
    """Walk the members of the outermost object up to `key`."""
    at = raw.index("{") + 1
    while True:
        name, at = _SKIP.raw_decode(raw, _gap(raw, at))
        start = _gap(raw, at)
        _, at = _SKIP.raw_decode(raw, start)
        if name == key:
            return raw[:start] + new + raw[at:]


def _gap(raw: str, at: int) -> int:
    found = _GAP.match(raw, at)
    return found.end() if found else at


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
