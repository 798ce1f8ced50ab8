"""`${NAME}` and `${NAME:-default}` in the strings of a document; `$${` stands for `${` itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gateway.config.document import Document, Place, mappings

_USE = re.compile(r"\$\$\{|\$\{(?:([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\})?")


def filled(document: Document, environ: Mapping[str, str]) -> Document:
    """`document` with its variables put in, in place. One that is not set (or empty) and has no default is a problem.

    Values are put in after the file was read as YAML, so nothing in a variable can change the file's shape.
    """
    document.value = _filled(document, environ, document.value, ())
    return document


def with_secrets(document: Document, environ: Mapping[str, str]) -> Document:
    """`document`, a policy, with the variables put in that its webhooks' secrets name; the rest of it has none."""
    for stage in ("input", "output"):
        for n, rail in mappings(document.value.get(stage) if document.value else None):
            hook, place = (rail["webhook"], (stage, n, "webhook")) if "webhook" in rail else (rail, (stage, n))
            if isinstance(hook, dict) and "secret" in hook:
                hook["secret"] = _filled(document, environ, hook["secret"], (*place, "secret"))
    return document


def _filled(document: Document, environ: Mapping[str, str], value: Any, place: Place) -> Any:
    match value:
        case dict():
            return {key: _filled(document, environ, each, (*place, key)) for key, each in value.items()}
        case tuple():
            return tuple(_filled(document, environ, each, (*place, n)) for n, each in enumerate(value))
        case str() if "${" in value:
            document.hidden.add(place)
            return _USE.sub(lambda use: _put(document, environ, use, place), value)
        case _:
            return value


def _put(document: Document, environ: Mapping[str, str], use: re.Match[str], place: Place) -> str:
    name, default = use.groups()
    if use[0] == "$${":
        return "${"
    if name is None:
        document.refuse(place, "after `${` comes NAME} or NAME:-default}; write `$${` for the characters themselves")
    elif found := environ.get(name) or default:
        return found
    elif default is None:
        document.refuse(place, f"environment variable {name} is not set; set it, or write ${{{name}:-default}}")
    return ""
