"""An answer as it was delivered, and what makes two requests the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import accumulate, pairwise
from typing import Any, Literal, Protocol

import orjson

State = Literal["hit", "miss", "bypass"]

LARGEST = 1024 * 1024
"""Bytes of an answer that is kept."""

OVERHEAD = 512  # bytes that an entry takes beside its answer, about


@dataclass(frozen=True, slots=True)
class Entry:
    """The chunks that the client was sent; `kind` is their content type."""

    kind: str
    chunks: tuple[bytes, ...]

    @property
    def size(self) -> int:
        return sum(map(len, self.chunks))

    def packed(self) -> bytes:
        head = orjson.dumps([self.kind, *map(len, self.chunks)])
        return head + b"\n" + b"".join(self.chunks)

    @classmethod
    def unpacked(cls, raw: bytes) -> Entry | None:
        """None for bytes that nobody here packed."""
        head, _, rest = raw.partition(b"\n")
        try:
            kind, *sizes = orjson.loads(head)
            ends = [*accumulate(sizes, initial=0)]
        except (ValueError, TypeError):
            return None
        if not isinstance(kind, str) or ends[-1] != len(rest):
            return None
        return cls(kind, tuple(rest[start:end] for start, end in pairwise(ends)))


class Answers(Protocol):
    """Where entries are kept. Both may lose what they have at any time, and never fail."""

    async def get(self, place: str) -> Entry | None: ...
    async def put(self, place: str, entry: Entry, ttl_s: float) -> None: ...


def place(body: dict[str, Any], *circumstances: str) -> str:
    """Under what name an answer to `body` is kept. Whether keys stand in another order makes no difference.

    The `circumstances` are all else that the answer depends on: endpoint, route, policy, whose it is.
    """
    said = orjson.dumps([circumstances, body], option=orjson.OPT_SORT_KEYS)
    return sha256(said).hexdigest()


def sampled(body: dict[str, Any]) -> bool:
    """Whether the model may well answer otherwise next time: OpenAI's temperature is 1 unless it is said."""
    return body.get("temperature") not in (0, 0.0)


WHOLE = frozenset({"stop", "tool_calls", "function_call"})
"""Why an answer ends that has all that the model wanted to say; `length` and `content_filter` cut it."""


def whole(finishes: Sequence[str]) -> bool:
    return bool(finishes) and WHOLE.issuperset(finishes)
