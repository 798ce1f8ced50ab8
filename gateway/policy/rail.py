"""What a rail is to the rest of the house. Each kind lives in `policy/rails/` and is named in its one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

from gateway.policy.memory import Known
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
    need both, most rails look at `passages` only. `vault` keeps the exchange's placeholders (see `vault`), `known` is
    what the rail that is asked found in texts before (see `memory`).
    """

    passages: Sequence[Passage]
    question: str = ""
    context: Sequence[str] = ()
    vault: Vault = field(default_factory=Vault)
    known: Known = field(default_factory=Known)


class Rail(Protocol):
    """A judge. Answers one verdict per passage, in order.

    It may raise (`WorkerError` when its worker is gone, late or at fault): the policy turns that into a verdict by
    `on_error`. A rail whose `unit` is `Unit.MATCH` is `Scanning` as well.
    """

    @property
    def name(self) -> str: ...

    @property
    def unit(self) -> Unit: ...

    async def inspect(self, subject: Subject) -> Sequence[Verdict]: ...


class Scanning(Protocol):
    """A rail that can follow a text while it streams, without waiting for anything."""

    def scanner(self) -> Scanner:
        """One for a text, from its beginning."""
        ...


class Told(Protocol):
    """A rail that judges answers by the request they answer."""

    def told(self, system: Sequence[str]) -> Rail:
        """The rail as it judges one exchange; `system` are the texts of its system and developer messages."""
        ...


class Scanner(Protocol):
    """Follows one text. Offsets count from its beginning.

    All that `take` ever answers, together, is what the rail's `inspect` answers for the whole text.
    """

    def feed(self, delta: str) -> int:
        """The text goes on; the offset that no match, present or possible, reaches across. It never decreases."""
        ...

    def finish(self) -> None:
        """The text ends here: whatever stands in it may be taken."""
        ...

    def take(self, upto: int) -> Verdict:
        """The verdict on what stands before `upto`, as `feed` gave it, and was not taken yet."""
        ...


class Caller(Protocol):
    """A worker, as rails see it (`gateway.worker.client.Client`)."""

    async def call(self, method: str, payload: Any, *, deadline_s: float) -> Any: ...


class Poster(Protocol):
    """The way to an operator's HTTP service (`gateway.upstream.post.Post`)."""

    async def post(self, url: str, body: bytes, headers: Mapping[str, str], *, deadline_s: float) -> tuple[int, bytes]:
        """POST `body`; the answer's status and body. Redirects are answers like any other.

        Raises `UpstreamError`: `UpstreamTimeout` where it takes longer, `UpstreamUnreachable` where nobody answers,
        `UpstreamBroken` where the answer is not HTTP or too large.
        """
        ...


@dataclass(frozen=True, slots=True)
class Tools:
    """What rails are built with: workers by name (`guardrails`, `nemo`, `pii`, `scorer`), seconds a call may take.

    `folder` is where the policies lie, `policy` the name of the one that the rail belongs to.
    """

    workers: Mapping[str, Caller]
    deadline_s: float = 1.5
    folder: Path = Path()
    policy: str = ""
    poster: Poster | None = None
