"""Texts as word pieces that know where they stand, cut into windows an encoder can read. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tokenizers import Tokenizer

from gateway.wire.sentences import sentences


@dataclass(frozen=True, slots=True)
class Pieces:
    """A text's word pieces without specials: ids, character spans, and the number of the word each belongs to."""

    text: str
    ids: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]
    words: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.ids)


def pieces(tokenizer: Tokenizer, texts: Sequence[str]) -> list[Pieces]:
    found = tokenizer.encode_batch(list(texts), add_special_tokens=False)
    return [
        Pieces(text, tuple(e.ids), tuple(e.offsets), tuple(w if w is not None else -1 for w in e.word_ids))
        for text, e in zip(texts, found, strict=True)
    ]


def windows(text: Pieces, longest: int) -> list[tuple[int, int]]:
    """Runs of pieces that cover the text, at most `longest` each, cut between sentences where that is possible."""
    runs: list[tuple[int, int]] = []
    start = end = 0
    for stop in _sentence_ends(text):
        if stop - start > longest:
            runs += [(start, end)] if end > start else []
            start = end
        while stop - start > longest:
            runs.append((start, start + longest))
            start += longest
        end = stop
    return [*runs, (start, end)] if end > start else runs


def _sentence_ends(text: Pieces) -> list[int]:
    """For every sentence with a piece in it, the number of the piece after its last."""
    ends: list[int] = []
    at = 0
    for _, end in sentences(text.text):
        before = at
        while at < len(text) and text.spans[at][0] < end:
            at += 1
        ends += [at] if at > before else []
    return ends
