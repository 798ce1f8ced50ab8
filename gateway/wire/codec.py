"""What the request's path asks of an endpoint's wire, and the endpoints that answer: one path serves them all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.wire import chat, completions, embeddings, moderations
from gateway.wire.passage import Passage

Object = dict[str, Any]


def _no_question(_body: Object) -> str:
    return ""


def _no_context(_body: Object, _sources: frozenset[str]) -> list[str]:
    return []


@dataclass(frozen=True, slots=True)
class Codec:
    """How one endpoint's bodies are read. What is not named here is alike on all of them, and stands in `chat`.

    `read` raises `RequestError`; `deltas` raises `Unreadable`. `first` is the text of the first choice, None where an
    answer says nothing; `refusal` is how a policy cuts a stream.
    """

    endpoint: str
    read: Callable[[bytes], Object]
    prompts: Callable[[Object], Sequence[Passage]]
    question: Callable[[Object], str] = _no_question
    context: Callable[[Object, frozenset[str]], Sequence[str]] = _no_context
    deltas: Callable[[Object], list[chat.Delta]] = chat.deltas
    first: chat.Key | None = None
    refusal: Callable[[Object | None, Iterable[int], Object, Any], bytes] = chat.refusal

    @property
    def streams(self) -> bool:
        """Whether its answers are texts, which may be asked for piece by piece."""
        return self.first is not None


CHAT = Codec(chat.ENDPOINT, chat.read, chat.prompts, chat.question, chat.context, first=chat.FIRST)
COMPLETIONS = Codec(
    completions.ENDPOINT,
    completions.read,
    completions.prompts,
    completions.question,
    completions.context,
    completions.deltas,
    completions.FIRST,
    completions.refusal,
)
EMBEDDINGS = Codec(embeddings.ENDPOINT, embeddings.read, embeddings.prompts, deltas=embeddings.deltas)
MODERATIONS = Codec(moderations.ENDPOINT, moderations.read, moderations.prompts)
