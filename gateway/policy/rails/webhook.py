"""The webhook rail: an operator's own HTTP service decides. What is said is in `contract`, for people in the docs.

Requests are signed as Standard Webhooks are (standardwebhooks.com): HMAC-SHA256 over id, time and body.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import orjson

from gateway.config.policy import WebhookSpec
from gateway.errors import (
    ConfigError,
    Problem,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnreachable,
    WorkerFault,
    WorkerLost,
    WorkerTimeout,
)
from gateway.policy.rail import Poster, Subject, Tools, Unit
from gateway.policy.rails import contract, opinion, shape
from gateway.policy.rails.batch import clean
from gateway.policy.rails.shape import Broken, Shape
from gateway.policy.verdict import ALLOW, Action, Edit, Finding, Verdict
from gateway.wire.passage import Passage

SHORTEST = 16  # bytes of a secret
_TRIES = 2  # a kept connection may just have been closed; the service knows the second try by its id

Json = Any


@dataclass(frozen=True, slots=True)
class Seal:
    """What signs a request. `keys` are the secret's bytes; without any nothing is signed."""

    key: bytes
    clock: Callable[[], float] = time.time
    ids: Callable[[], str] = lambda: f"msg_{uuid4().hex}"

    def headers(self, body: bytes) -> dict[str, str]:
        """The headers that go with `body`."""
        told, now = self.ids(), str(int(self.clock()))
        headers = {"webhook-id": told, "webhook-timestamp": now}
        if self.key:
            said = hmac.new(self.key, f"{told}.{now}.".encode() + body, sha256).digest()
            headers["webhook-signature"] = f"v1,{base64.b64encode(said).decode()}"
        return headers


@dataclass(frozen=True, slots=True)
class WebhookRail:
    """`most` is the strongest that the service may ask for: it decides, or is only noted."""

    name: str
    policy: str
    unit: Unit
    most: Action
    url: str
    seal: Seal
    answer: Shape
    poster: Poster | None
    deadline_s: float

    async def inspect(self, subject: Subject) -> Sequence[Verdict]:
        asked = [passage for passage in subject.passages if passage.text]
        if not asked:
            return [ALLOW] * len(subject.passages)
        body = orjson.dumps(self._question(subject.question, asked))
        said = iter(self._verdicts(await self._posted(body), asked))
        return [next(said) if passage.text else ALLOW for passage in subject.passages]

    def _question(self, question: str, passages: Sequence[Passage]) -> Json:
        return {
            "version": contract.VERSION,
            "policy": self.policy,
            "rail": self.name,
            "stage": passages[0].direction,
            "question": clean(question),
            "passages": [_told(passage) for passage in passages],
        }

    # Asking…

    async def _posted(self, body: bytes) -> bytes:
        """What the service answers. Raises `WorkerError` for whatever is no answer."""
        try:
            status, answer = await self._tried(body, self.seal.headers(body))
        except UpstreamTimeout:
            raise WorkerTimeout(f"{self.name}: no answer within {self.deadline_s:g} s") from None
        except UpstreamUnreachable:
            raise WorkerLost(f"{self.name}: nobody answers") from None
        except UpstreamError as error:
            raise WorkerFault(f"{self.name}: {error.message}") from None
        if status != 200:
            raise WorkerFault(f"{self.name}: it answered {status}")
        return answer

    async def _tried(self, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
        if self.poster is None:
            raise UpstreamUnreachable("no way to the service")
        for left in reversed(range(_TRIES)):
            try:
                return await self.poster.post(self.url, body, headers, deadline_s=self.deadline_s)
            except UpstreamUnreachable:
                if not left:
                    raise
        raise AssertionError("the last try returns or raises")

    # Reading the answer…

    def _verdicts(self, raw: bytes, passages: Sequence[Passage]) -> list[Verdict]:
        """Raises `WorkerFault` for an answer that breaks the contract in any way."""
        try:
            answer = shape.value(raw.decode(), len(raw))  # as much as was read
            self.answer.check(answer)
        except (UnicodeDecodeError, Broken) as error:
            rule = error.rule if isinstance(error, Broken) else "json"
            raise WorkerFault(f"{self.name}: its answer breaks the contract ({rule})") from None
        if len(answer["verdicts"]) != len(passages):
            raise WorkerFault(f"{self.name}: its answer does not have a verdict for every passage")
        return [self._verdict(one, passage) for one, passage in zip(answer["verdicts"], passages, strict=True)]

    def _verdict(self, said: Json, passage: Passage) -> Verdict:
        action = Action[said["action"].upper()]
        if action is Action.ALLOW:
            return ALLOW
        edits = self._edits(said, clean(passage.text)) if action is Action.REDACT else []
        findings = frozenset({Finding(self.name, said.get("rule", "webhook"), max(1, len(edits)))})
        acted = min(action, self.most)
        return Verdict(acted, findings, frozenset(edits) if acted is Action.REDACT else frozenset())

    def _edits(self, said: Json, text: str) -> list[Edit]:
        if "text" in said:
            return [opinion.edit(text, said["text"])] if said["text"] != text else []
        edits = sorted(Edit(one["start"], one["end"], one["new"]) for one in said["edits"])
        apart = all(a.end <= b.start for a, b in pairwise(edits))
        if not apart or any(not edit.start <= edit.end <= len(text) for edit in edits):
            raise WorkerFault(f"{self.name}: its edits overlap, or reach beyond the text")
        return edits


def _told(passage: Passage) -> Json:
    return {
        "path": passage.path,
        "role": passage.role,
        "direction": passage.direction,
        "channel": passage.channel,
        "text": clean(passage.text),
    }


def build(spec: WebhookSpec, tools: Tools) -> WebhookRail:
    """Raises `ConfigError` for a URL or a secret that cannot be used."""
    parts = urlsplit(spec.url)
    if not parts.hostname or parts.username is not None or parts.fragment or not spec.url.isascii():
        raise ConfigError([Problem("", 1, "url: should be an ASCII http(s) URL without credentials and fragment")])
    return WebhookRail(
        name=spec.name or "webhook",
        policy=tools.policy,
        unit=Unit(spec.unit),
        most=Action.FLAG if spec.action == "flag" else Action.BLOCK,
        url=spec.url,
        seal=Seal(_key(spec.secret.get_secret_value()) if spec.secret else b""),
        answer=shape.given(contract.ANSWER, None, tools.folder),
        poster=tools.poster,
        deadline_s=tools.deadline_s,
    )


def _key(secret: str) -> bytes:
    """The bytes of a secret: `whsec_` and base64, or the text itself."""
    try:
        encoded = secret.removeprefix("whsec_")
        key = secret.encode() if encoded == secret else base64.b64decode(encoded, validate=True)
    except binascii.Error:
        key = b""
    if len(key) < SHORTEST:
        raise ConfigError([Problem("", 1, f"secret: should have {SHORTEST} bytes or more; after `whsec_`, in base64")])
    return key
