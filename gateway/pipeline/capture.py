"""The texts of an exchange, kept for its record where `events.capture` says so.

`full` keeps them as they came. `redacted` keeps what was passed on: requests as the model saw them, answers as the
client got them, but with placeholders where the client's own values were given back. What was refused was passed on to
nobody: of that `redacted` keeps nothing.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from gateway.exchange import Captured, Said
from gateway.policy.channel import Channel
from gateway.policy.vault import Vault
from gateway.policy.verdict import Action, Verdict, applied
from gateway.policy.window import Span
from gateway.wire.chat import Delta
from gateway.wire.passage import Passage

Mode = Literal["none", "redacted", "full"]

LONGEST = 262_144
"""Characters kept of each side of an exchange: a line of the log must stay one that can be read."""


class Spoken(NamedTuple):
    """What is known of one text of an answer, and its pieces so far."""

    choice: int
    channel: str
    pieces: list[str]


@dataclass(slots=True)
class Capture:
    """What one exchange said. In mode `none` nothing is kept."""

    mode: Mode = "none"
    truncated: bool = False
    asked: list[Said] = field(default_factory=list)
    spoken: dict[Hashable, Spoken] = field(default_factory=dict)

    def request(self, passages: Sequence[Passage], verdicts: Sequence[Verdict]) -> None:
        """Keep the texts of a request, by what was said of them."""
        refused = any(verdict.action is Action.BLOCK for verdict in verdicts)
        if self.mode == "none" or (refused and self.mode == "redacted"):
            return
        for passage, verdict in zip(passages, verdicts, strict=True):
            text = applied(passage.text, verdict.edits) if self.mode == "redacted" else passage.text
            self.asked.append(Said(_role(passage), passage.channel, text))

    def came(self, texts: Iterable[Delta], *, judged: bool) -> None:
        """Keep what the model said, as it said it: where that is wanted, or where nobody judges it."""
        if self.mode == "full" or (self.mode == "redacted" and not judged):
            for text in texts:
                if text.key is not None:
                    self._add(text.key, text.key[0], text.channel, text.text)

    def left(self, spans: Iterable[Span], channels: Mapping[Hashable, Channel]) -> None:
        """Keep what leaves for the client, where that is wanted."""
        if self.mode != "redacted":
            return
        keys = {id(channel): key for key, channel in channels.items()}
        for span in spans:
            key = keys.get(id(span.channel))
            if isinstance(key, tuple):
                self._add(key, key[0], span.channel.passage.channel, span.delivered())

    def _add(self, key: Hashable, choice: object, channel: str, text: str) -> None:
        if key not in self.spoken:
            self.spoken[key] = Spoken(choice if isinstance(choice, int) else 0, channel, [])
        self.spoken[key].pieces.append(text)

    def record(self, vault: Vault) -> Captured | None:
        """All of it, or nothing where nothing is to be kept."""
        if self.mode == "none":
            return None
        texts = [Said("assistant", s.channel, "".join(s.pieces), s.choice) for s in self.spoken.values()]
        if self.mode == "redacted":
            texts = [Said(t.role, t.channel, vault.concealed(t.text), t.choice) for t in texts]
        return Captured(self.mode, self._cut(self.asked), self._cut(texts), self.truncated)

    def _cut(self, texts: Iterable[Said]) -> tuple[Said, ...]:
        left, kept = LONGEST, list[Said]()
        for said in texts:
            self.truncated = self.truncated or len(said.text) > left
            kept.append(Said(said.role, said.channel, said.text[:left], said.choice))
            left -= len(kept[-1].text)
        return tuple(kept)


def _role(passage: Passage) -> str:
    """The message's role; evidence that stands in no message is told apart from other fields."""
    return "documents" if passage.path[:1] == ("documents",) else passage.role
