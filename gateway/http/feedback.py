"""`POST /v1/feedback`: what somebody thinks of an answer. It is kept by the `data` worker; the log learns of it."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import orjson
from starlette.types import Receive, Scope, Send

from gateway.errors import (
    AuditUnavailable,
    Conflict,
    MethodNotAllowed,
    NotFound,
    RequestError,
    TidegateError,
    Unprocessable,
)
from gateway.http.auth import Keyring
from gateway.http.client import Asgi, Gone, body
from gateway.wire import envelope

MAX_BODY = 262_144
COMMENT, CORRECTION = 16_384, 131_072  # characters
DEADLINE_S = 5.0

_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}")
_ID = re.compile(r"[\x21-\x7e]{1,200}")
_THUMBS: Mapping[object, float] = {"up": 1.0, "down": 0.0}
_FIELDS = frozenset({"id", "name", "value", "label", "correction", "comment", "source"})
_SOURCES = frozenset({"user", "operator", "judge"})

Emit = Callable[..., bool]


class Worker(Protocol):
    """Who keeps feedback."""

    async def call(self, method: str, payload: Any, *, deadline_s: float) -> Any: ...


@dataclass(frozen=True, slots=True)
class Feedback:
    """A key speaks of its own answers, `reviewers` of anybody's; only they speak for another source than the user."""

    worker: Worker
    keys: Keyring
    emit: Emit
    reviewers: frozenset[str] = frozenset()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client, ident = Asgi(send), f"req_{secrets.token_hex(16)}"
        headers = {"content-type": "application/json", "x-request-id": ident}
        try:
            told = await self._taken(scope, receive)
        except Gone:
            return
        except TidegateError as error:
            more = {"www-authenticate": "Bearer"} if error.status == 401 else {}
            more |= {"allow": "POST"} if error.status == 405 else {}
            more |= envelope.headers(error)
            await client.respond(error.status, {**headers, **more}, envelope.body(error))
            return
        await client.respond(200, headers, orjson.dumps(told))

    async def _taken(self, scope: Scope, receive: Receive) -> dict[str, Any]:
        if scope["method"] != "POST":
            raise MethodNotAllowed("Use POST here.")
        by = self.keys.principal(scope["headers"]).name
        once = dict(scope["headers"]).get(b"idempotency-key", b"").decode("latin-1")
        if once and not _ID.fullmatch(once):
            raise RequestError("An Idempotency-Key is 1 to 200 visible characters of ASCII.")
        ident, said = read(await body(scope, receive, MAX_BODY))
        reviewer = by in self.reviewers
        if said["source"] != "user" and not reviewer:
            raise Unprocessable("Only keys that are `reviewers` speak for another source than `user`.", param="source")
        payload = {"id": ident, "key": None if reviewer else by, "by": by, "once": once, "feedback": said}
        answer = await self.worker.call("say", payload, deadline_s=DEADLINE_S)
        return await self._told(answer, said)

    async def _told(self, answer: dict[str, Any], said: dict[str, Any]) -> dict[str, Any]:
        match answer["taken"]:
            case "unknown":
                raise NotFound("No answer of this key has that id; ids are kept for a while only.", param="id")
            case "ambiguous":
                raise Conflict("Several answers have that id; send the `x-request-id` of the one that is meant.")
            case "conflict":
                raise Conflict("Something else was said before under that name or Idempotency-Key.")
            case "new":
                await self._recorded(answer, said)
        again = answer["taken"] == "again"
        return {
            "object": "feedback",
            "id": answer["id"],
            "name": said["name"],
            "repeated": again,
            "texts": answer["texts"],
        }

    async def _recorded(self, answer: dict[str, Any], said: dict[str, Any]) -> None:
        fields = {name: said[name] for name in ("name", "value", "label", "source")}
        corrected = bool(said["correction"])
        if self.emit("feedback.received", id=answer["id"], route=answer["route"], **fields, corrected=corrected):
            return
        await self.worker.call("unsay", [answer["id"], said["name"], said["source"]], deadline_s=DEADLINE_S)
        raise AuditUnavailable("The feedback could not be recorded, so it was not taken. Try again.", retry_after=1)


def read(raw: bytes) -> tuple[str, dict[str, Any]]:
    """The id of an answer and what is said of it. Raises `RequestError` (400) for what is not JSON, else 422."""
    try:
        said = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise RequestError("The body is not JSON.") from None
    if not isinstance(said, dict):
        raise Unprocessable("The body is not an object.")
    if unknown := sorted(said.keys() - _FIELDS):
        raise Unprocessable(f"There is no such field; there are {', '.join(sorted(_FIELDS))}.", param=unknown[0][:64])
    ident = said.get("id")
    if not isinstance(ident, str) or not _ID.fullmatch(ident):
        raise Unprocessable("`id` is that of an answer, or its `x-request-id`.", param="id")
    source = said.get("source", "user")
    if source not in _SOURCES:
        raise Unprocessable("`source` is `user`, `operator` or `judge`.", param="source")
    told = {
        "name": _word(said, "name", "feedback"),
        "source": source,
        "value": _value(said.get("value")),
        "label": _word(said, "label", "").lower(),
        "comment": _text(said, "comment", COMMENT),
        "correction": _text(said, "correction", CORRECTION),
    }
    if told["value"] is None and not (told["label"] or told["comment"] or told["correction"]):
        raise Unprocessable("Say something: a `value`, a `label`, a `comment` or a `correction`.")
    return ident, told


def _value(value: object) -> float | None:
    """1 is good and 0 is bad."""
    if value is None or isinstance(value, bool):
        return None if value is None else float(value)
    if isinstance(value, int | float) and 0 <= value <= 1:
        return float(value)
    if isinstance(value, str) and value in _THUMBS:
        return _THUMBS[value]
    raise Unprocessable("`value` is true or false, a number from 0 to 1, `up` or `down`.", param="value")


def _word(said: Mapping[str, Any], name: str, absent: str) -> str:
    """A word that may stand in the log: nobody's sentence."""
    word = said.get(name)
    if word is None:
        return absent
    if not isinstance(word, str) or not _WORD.fullmatch(word):
        raise Unprocessable(f"`{name}` is a word of up to 64 letters, digits and `_.:-`.", param=name)
    return word


def _text(said: Mapping[str, Any], name: str, longest: int) -> str:
    text = said.get(name)
    if text is None:
        return ""
    if not isinstance(text, str) or len(text) > longest:
        raise Unprocessable(f"`{name}` is a text of at most {longest} characters.", param=name)
    return text
