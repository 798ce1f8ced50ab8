"""A trained cross-encoder: how far a claim is from following from what it is held against, read together.

A word piece of the claim has a logit for being wrong; the claim's is their soft maximum and the pair's own. So one
changed word is enough, and says which it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.scoring.premises import premises

LENGTH = 160  # word pieces of a pair, as in training
CLAIM = 96  # word pieces of a claim that are read

Part = tuple[tuple[int, ...], frozenset[str]]  # a sentence's word pieces, and the stems of its content words


@dataclass(frozen=True, slots=True)
class Reading:
    """What the encoder reads; the claim's `claim` pieces begin at `start` of `ids`, specials included."""

    ids: tuple[int, ...]
    start: int
    claim: int


def reading(
    context: Sequence[Part], claim: Part, length: int = LENGTH, specials: tuple[int, int] = (101, 102)
) -> Reading:
    """`[CLS] sentences of the context [SEP] claim [SEP]`, `length` pieces at most; the sentences as `premises` says."""
    first, last = specials
    said = claim[0][:CLAIM]
    room = length - 3 - len(said)
    chosen = premises([stems for _, stems in context], [len(ids) for ids, _ in context], claim[1], room)
    read = [piece for at in chosen for piece in context[at][0]]
    if not read and context:
        read = list(context[0][0][:room])  # one sentence longer than the room
    return Reading((first, *read, last, *said, last), len(read) + 2, len(said))
