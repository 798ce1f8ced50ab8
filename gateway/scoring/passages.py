"""Which parts of a context are read: all of it, or, where it is too long for that, what shares most with the answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gateway.scoring.lexical import known, words
from gateway.wire.sentences import sentences

MOST = 65_536  # characters, about 16,000 word pieces: some seconds of a CPU core, some milliseconds of a GPU
PART = 1_000  # characters, in whole sentences, that are taken or left together


@dataclass(frozen=True, slots=True)
class Passage:
    """`text`, which begins at character `start` of `context[source]`."""

    source: int
    start: int
    text: str


def passages(context: Sequence[str], answer: str, most: int = MOST) -> list[Passage]:
    """At most `most` characters of `context`, in its order: those parts first that have most of the answer's words."""
    if sum(map(len, context)) <= most:
        return [Passage(source, 0, text) for source, text in enumerate(context)]
    said = {word.stem for word in words(answer)}
    parts = [part for source, text in enumerate(context) for part in _parts(source, text)]
    kept, room = [], most
    for part in sorted(parts, key=lambda part: -len(said & known([part.text]))):
        if len(part.text) <= room:
            kept.append(part)
            room -= len(part.text)
    return sorted(kept, key=lambda part: (part.source, part.start))


def _parts(source: int, text: str) -> Iterator[Passage]:
    start = 0
    for _, end in sentences(text):
        if end - start >= PART:
            yield from _cut(source, start, text[start:end])
            start = end
    if start < len(text):
        yield Passage(source, start, text[start:])


def _cut(source: int, start: int, text: str) -> Iterator[Passage]:
    """A sentence without an end is cut anyway."""
    for at in range(0, len(text), 2 * PART):
        yield Passage(source, start + at, text[at : at + 2 * PART])
