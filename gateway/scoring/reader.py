"""Texts to word pieces and vectors, with a memory for contexts: retrieved chunks come again and again."""

from __future__ import annotations

from bisect import bisect
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gateway.scoring.encoder import Encoder, Encoding
from gateway.scoring.lexical import known
from gateway.scoring.tokens import Pieces, pieces
from gateway.wire.sentences import sentences

REMEMBERED = 65_536  # word pieces: 100 MB of float32 at 384 dimensions, twice that with their places


@dataclass(frozen=True, slots=True)
class Plan:
    """What of a context needs no vectors: the stems of its words, its sentences, and which one each piece is in."""

    stems: frozenset[str]
    sentences: tuple[tuple[int, int], ...]
    owners: Tensor  # [n] int64


@dataclass(frozen=True, slots=True)
class Read:
    """A text's pieces and vectors, and its plan where it is a context."""

    text: Pieces
    encoding: Encoding
    plan: Plan


NO_PLAN = Plan(frozenset(), (), torch.zeros(0, dtype=torch.int64))


class Reader:
    """Forgets the least recently used text first. `cut` is for any thread, `read` for one."""

    def __init__(self, encoder: Encoder, remembered: int = REMEMBERED) -> None:
        self._encoder = encoder
        self._room = remembered
        self._memory: OrderedDict[str, Read] = OrderedDict()
        self.pieces = 0  # in memory

    def cut(self, texts: Sequence[str]) -> dict[str, Pieces]:
        """The pieces of those `texts` that are not remembered."""
        new = [text for text in dict.fromkeys(texts) if text not in self._memory]
        return {p.text: p for p in pieces(self._encoder.tokenizer, new)}

    def read(
        self, texts: Sequence[str], *, keep: frozenset[str] = frozenset(), cut: Mapping[str, Pieces] | None = None
    ) -> list[Read]:
        """One reading per text, in order, each text encoded once; those in `keep` are contexts, to be remembered.

        `cut` has pieces of texts that were cut before.
        """
        new = [text for text in dict.fromkeys(texts) if text not in self._memory]
        had = cut or {}
        more = self.cut([text for text in new if text not in had])
        taken = [more.get(text) or had[text] for text in new]
        fresh = {
            p.text: Read(p, e, _plan(p) if p.text in keep else NO_PLAN)
            for p, e in zip(taken, self._encoder.encode(taken), strict=True)
        }
        found = [fresh.get(text) or self._memory[text] for text in texts]
        for text, read in zip(texts, found, strict=True):
            if text in keep:
                self._remember(text, read)
        return found

    def remembers(self, text: str) -> bool:
        return text in self._memory

    def _remember(self, text: str, read: Read) -> None:
        if text in self._memory:
            self._memory.move_to_end(text)
            return
        # A slice of a batch's tokens would keep the whole batch alive.
        own = Encoding(read.encoding.tokens.clone(), read.encoding.vector.clone())
        self._memory[text] = Read(read.text, own, read.plan)
        self.pieces += len(read.text)
        while self.pieces > self._room:
            _, oldest = self._memory.popitem(last=False)
            self.pieces -= len(oldest.text)


def _plan(text: Pieces) -> Plan:
    spans = sentences(text.text)
    starts = [start for start, _ in spans]
    owners = [bisect(starts, begin) - 1 for begin, _ in text.spans]
    return Plan(known([text.text]), tuple(spans), torch.tensor(owners, dtype=torch.int64))
