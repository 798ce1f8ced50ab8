"""What rails found in texts that came before, so that a conversation's turns are judged once, not with every request.

Texts stand in it as keyed hashes: by a key of this process, who asked, which rail of which policy. Neither texts nor
what was made of them is kept, and nobody can tell by the time that an answer takes what somebody else has asked.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

MOST = 16 << 20  # bytes, by the estimate of `put`
ENTRY = 300  # bytes that an answer of nothing takes: two hashes, a tuple, a dictionary's place
_HEAVIEST = 16 << 10  # bytes of one answer

Key = tuple[str, bytes]


@dataclass(slots=True)
class Memory:
    """All that one process remembers; what was not asked for longest goes first."""

    most: int = MOST
    size: int = 0
    key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    _kept: OrderedDict[Key, tuple[Any, int]] = field(default_factory=OrderedDict, repr=False)

    def __len__(self) -> int:
        return len(self._kept)

    def reader(self, principal: str) -> Reader:
        """For one exchange of `principal`."""
        return Reader(self, blake2b(principal.encode(), digest_size=16, key=self.key).digest())

    def get(self, key: Key) -> Any | None:
        found = self._kept.get(key)
        if found is None:
            return None
        self._kept.move_to_end(key)
        return found[0]

    def put(self, key: Key, value: Any, weight: int) -> None:
        if weight > min(_HEAVIEST, self.most):
            return
        self.size += weight - self._kept.pop(key, (None, 0))[1]
        self._kept[key] = value, weight
        while self.size > self.most:
            _, (_, gone) = self._kept.popitem(last=False)
            self.size -= gone


@dataclass(slots=True)
class Reader:
    """One exchange's way to the memory; a text is hashed once for all of its rails."""

    memory: Memory
    key: bytes = field(repr=False)
    _hashes: dict[str, bytes] = field(default_factory=dict, repr=False)

    def at(self, mark: str) -> Known:
        """What the rail of that mark knows."""
        return Known(self, mark)

    def hashed(self, text: str) -> bytes:
        found = self._hashes.get(text)
        if found is None:
            data = text.encode("utf-8", "surrogatepass")
            found = self._hashes[text] = blake2b(data, digest_size=16, key=self.key).digest()
        return found


@dataclass(slots=True)
class Known:
    """What one rail found in texts of the same asker. Without a reader, nothing, and nothing is kept.

    `context` is all that an answer depends on besides the text and the rail's settings. `hits` counts what was known.
    """

    reader: Reader | None = None
    mark: str = ""
    hits: int = 0

    def get(self, text: str, context: Hashable = "") -> Any | None:
        """What was `put`; None where that is not known, or not any more."""
        if self.reader is None:
            return None
        found = self.reader.memory.get(self._key(self.reader, text, context))
        self.hits += found is not None
        return found

    def put(self, text: str, value: Any, *, parts: int = 0, context: Hashable = "") -> None:
        """Keep `value`, which has that many `parts` of a hundred bytes or so. It must hold nothing of any text."""
        if self.reader is not None:
            self.reader.memory.put(self._key(self.reader, text, context), value, ENTRY + 120 * parts)

    def _key(self, reader: Reader, text: str, context: Hashable) -> Key:
        return f"{self.mark}/{context}" if context else self.mark, reader.hashed(text)
