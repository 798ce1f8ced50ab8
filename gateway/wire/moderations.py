"""`/v1/moderations`: texts in, what the operator's rails say of them out, in OpenAI's shape.

The categories are the rails' names; a rail says yes or no, and that is its score. Source: the types of OpenAI's
Python SDK 2.54, whose own categories are those of OpenAI's model.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from gateway.errors import NotSupported
from gateway.wire import body as json_body
from gateway.wire.fields import Fields, texts
from gateway.wire.passage import Passage

ENDPOINT = "/moderations"

_NOBODY = "tidegate"  # who judges, where no model was named


def read(raw: bytes) -> dict[str, Any]:
    """The request that `raw` spells. Raises `RequestError` (400), `Unprocessable` (422) or `NotSupported` (501)."""
    body = json_body.read(raw)
    fields = Fields(body)
    fields.text("model")
    fields.drop("input")
    fields.close()
    if _in_parts(body):
        for at, part in enumerate(body["input"]):
            _check(Fields(part, f"input[{at}]"))
    else:
        texts(body, "input")
    return body


def _in_parts(body: dict[str, Any]) -> bool:
    """Whether the input is one text in parts, rather than a text or many."""
    given = body.get("input")
    return isinstance(given, list) and any(isinstance(part, dict) for part in given)


def _check(part: Fields) -> None:
    if part.need("type", part.text("type")) != "text":
        name = part.name("type")
        raise NotSupported(f"'{name}' is not supported here: only texts can be judged.", param=name)
    part.need("text", part.text("text"))
    part.close()


def prompts(body: dict[str, Any]) -> list[Passage]:
    """The texts to judge, in order, the empty ones too."""
    if _in_parts(body):
        return [_passage(("input", at, "text"), part["text"]) for at, part in enumerate(body["input"])]
    if isinstance(body["input"], str):
        return [_passage(("input",), body["input"])]
    return [_passage(("input", at), text) for at, text in enumerate(texts(body, "input"))]


def _passage(path: tuple[str | int, ...], text: str) -> Passage:
    return Passage(path, "user", "input", text)


def answer(body: dict[str, Any], ident: str, rails: Sequence[str], fired: Sequence[Collection[str]]) -> dict[str, Any]:
    """What the rails say of each input: `fired` are those that found something, text by text as in `prompts`.

    An input in parts has one result, as it has with OpenAI.
    """
    found = [frozenset().union(*fired)] if _in_parts(body) else [frozenset(names) for names in fired]
    results = [_result(rails, names) for names in found]
    return {"id": ident, "model": body.get("model") or _NOBODY, "results": results}


def _result(rails: Sequence[str], fired: frozenset[str]) -> dict[str, Any]:
    return {
        "flagged": bool(fired),
        "categories": {rail: rail in fired for rail in rails},
        "category_scores": {rail: float(rail in fired) for rail in rails},
        "category_applied_input_types": {rail: ["text"] for rail in rails},
    }
