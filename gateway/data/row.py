"""What is kept of an exchange, and what was said of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Literal

import orjson

Reason = Literal["guarded", "score", "drifted", "complained", "corrected", "praised", "random"]
COMPLAINTS = frozenset({"complaint", "bad", "unhelpful", "harmful", "incorrect", "wrong"})
PRAISE = frozenset({"good", "correct", "right", "helpful"})


@dataclass(slots=True)
class Row:
    """An exchange. `alias` is the answer's own id, without its prefix; `user` a digest; `at` seconds since 1970.

    `record` has the fields of `exchange.completed`, without texts; `texts` is `Captured` of gateway.observe.events.
    """

    id: str
    alias: str
    key: str
    route: str
    user: str
    at: float
    record: Mapping[str, Any]
    texts: Mapping[str, Any]
    reasons: set[str] = field(default_factory=set)
    topic: str = ""
    scores: dict[str, float] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of its texts, about."""
        return 512 + sum(len(said["text"]) for side in ("input", "output") for said in self.texts.get(side, ()))


@dataclass(frozen=True, slots=True)
class Feedback:
    """What somebody said of an exchange's answer. `value` is in [0, 1], 1 is good."""

    exchange: str
    name: str
    source: str
    key: str
    at: float
    value: float | None = None
    label: str = ""
    comment: str = ""
    correction: str = ""

    @property
    def good(self) -> bool | None:
        """Whether it speaks for the answer as it was; None where it says neither."""
        if self.correction or self.label in COMPLAINTS or (self.value is not None and self.value < 0.5):
            return False
        if self.label in PRAISE or (self.value is not None and self.value > 0.5):
            return True
        return None

    @property
    def reason(self) -> Reason | None:
        if self.correction:
            return "corrected"
        return None if self.good is None else "praised" if self.good else "complained"

    @property
    def digest(self) -> str:
        """The same for the same said twice."""
        said = [self.exchange, self.name, self.source, self.value, self.label, self.comment, self.correction]
        return sha256(orjson.dumps(said)).hexdigest()


def bare(ident: str) -> str:
    """An answer's id without what its wire puts before it: `chatcmpl-1`, `msg_1` and `resp_1` are one answer."""
    for prefix in ("chatcmpl-", "cmpl-", "resp_", "msg_"):
        if ident.startswith(prefix):
            return ident.removeprefix(prefix)
    return ident


def hidden(user: str) -> str:
    """The digest that stands for a user."""
    return sha256(user.encode()).hexdigest() if user else ""
