"""Texts to word pieces and vectors, with a memory for contexts: retrieved chunks come again and again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.scoring.encoder import Encoder, Encoding
from gateway.scoring.lexical import known
from gateway.scoring.tokens import Pieces, pieces

REMEMBERED = 65_536  # word pieces: 100 MB of float32 at 384 dimensions, twice that with their places


@dataclass(frozen=True, slots=True)
class Read:
    """A text's pieces and vectors and, of a context, the stems of its words."""

    text: Pieces
    encoding: Encoding
    stems: frozenset[str] = frozenset()


class Reader:
    """Forgets the least recently used text first. Not for use by two threads at once."""

    def __init__(self, encoder: Encoder, remembered: int = REMEMBERED) -> None:
        self._encoder = encoder
        self._room = remembered
        self._memory: OrderedDict[str, Read] = OrderedDict()
        self.pieces = 0  # in memory

    def read(self, texts: Sequence[str], *, keep: frozenset[str] = frozenset()) -> list[Read]:
        """One reading per text, in order, each text encoded once; those in `keep` are contexts, to be remembered."""
        new = [text for text in dict.fromkeys(texts) if text not in self._memory]
        cut = pieces(self._encoder.tokenizer, new)
        fresh = {
            p.text: Read(p, e, known([p.text]) if p.text in keep else frozenset())
            for p, e in zip(cut, self._encoder.encode(cut), strict=True)
        }
        found = [fresh.get(text) or self._memory[text] for text in texts]
        for text, read in zip(texts, found, strict=True):
            if text in keep:
                self._remember(text, read)
        return found

    def _remember(self, text: str, read: Read) -> None:
        if text in self._memory:
            self._memory.move_to_end(text)
            return
        # A slice of a batch's tokens would keep the whole batch alive.
        own = Encoding(read.encoding.tokens.clone(), read.encoding.vector.clone())
        self._memory[text] = Read(read.text, own, read.stems)
        self.pieces += len(read.text)
        while self.pieces > self._room:
            _, oldest = self._memory.popitem(last=False)
            self.pieces -= len(oldest.text)
