"""What an SDK's own types make of a body: every field they need, and none that they do not know."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from pydantic import BaseModel, TypeAdapter


def exact(kind: Any, body: Any, allowed: Iterable[str] = ()) -> Any:
    """`body` as a `kind`. Raises for a field that is missing, of a wrong type or, but for the `allowed`, unknown."""
    found = _reader(kind).validate_python(body)
    strange = sorted(set(_strange(found)) - set(allowed))
    assert not strange, f"unknown to {kind}: {strange}"
    return found


@cache
def _reader(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _strange(value: Any) -> Iterable[str]:
    if isinstance(value, BaseModel):
        yield from value.model_extra or ()
        for _, inner in value:
            yield from _strange(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strange(inner)
