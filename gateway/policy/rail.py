"""What a rail is to the rest of the house. Each kind lives in `policy/rails/` and is named in its one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

from gateway.policy.vault import Vault
from gateway.policy.verdict import Verdict
from gateway.wire.passage import Passage


class Unit(Enum):
    """How much text a rail must see at once to judge it; a stream is held back accordingly."""

    MATCH = "match"  # only while a match may still be going on: the rail has `held`
    SENTENCE = "sentence"
    ANSWER = "answer"


@dataclass(frozen=True, slots=True)
class Subject:
    """One stage of one exchange: the passages to judge, and what they may be judged against.

    `question` is the last user text and `context` what the request marked as evidence: rails that score an answer
    need both, most rails look at `passages` only. `vault` keeps the exchange's placeholders (see `vault`).
    """

    passages: Sequence[Passage]
    question: str = ""
    context: Sequence[str] = ()
    vault: Vault = field(default_factory=Vault)


class Rail(Protocol):
    """A judge. Answers one verdict per passage, in order.

    It may raise (`WorkerError` when its worker is gone, late or at fault): the policy turns that into a verdict by
    `on_error`. A rail whose `unit` is `Unit.MATCH` is a `Holding`.
    """

    @property
    def name(self) -> str: ...

    @property
    def unit(self) -> Unit: ...

    async def inspect(self, subject: Subject) -> Sequence[Verdict]: ...


class Holding(Rail, Protocol):
    """A rail that can tell, while text still streams, where a match may be going on."""

    def held(self, text: str) -> int:
        """Offset in `text` from which characters must be kept back; `len(text)` if none need be."""
        ...


class Caller(Protocol):
    """A worker, as rails see it (`gateway.worker.client.Client`)."""

    async def call(self, method: str, payload: Any, *, deadline_s: float) -> Any: ...


@dataclass(frozen=True, slots=True)
class Tools:
    """What rails are built with: workers by name (`guardrails`, `nemo`, `pii`, `scorer`), seconds a call may take."""

    workers: Mapping[str, Caller]
    deadline_s: float = 1.5
