"""What an answer says in words, numbers and names that its context does not have. No model: exact, fast, explainable.

Embeddings find that "1889" and "1925" are both years; here they are two different things.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gateway.scoring.words import content
from gateway.wire.sentences import sentences

_WORD = re.compile(r"\d[\d.,]*\d|\d|[^\W\d_]+(?:['’][^\W\d_]+)*")
_SUFFIX = re.compile(r"(?<=...)(?:ies|ied|ing|ed|es|s|ly|e|y)$")
_POSSESSIVE = re.compile(r"['’]s?$")
_COUNTED = """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
    eighteen nineteen twenty
"""
_NUMBERS = {word: str(value) for value, word in enumerate(_COUNTED.split())} | {
    "first": "1",
    "second": "2",
    "third": "3",
    "hundred": "100",
    "thousand": "1000",
    "million": "1000000",
}


@dataclass(frozen=True, slots=True)
class Word:
    """One content word: characters `start:end` of its text, its stem, and what kind of thing it is."""

    start: int
    end: int
    stem: str
    number: bool
    name: bool


def words(text: str) -> list[Word]:
    """The content words of `text`, in order. A name is a capitalised word that opens no sentence, or an acronym."""
    openings = {_opening(text, *span) for span in sentences(text)}
    return [_word(found, found.start() in openings) for found in _WORD.finditer(text) if content(found.group())]


def _opening(text: str, start: int, end: int) -> int:
    """Where the first word of a sentence begins."""
    found = _WORD.search(text, start, end)
    return found.start() if found else end


def _word(found: re.Match[str], opens: bool) -> Word:
    text = found.group()
    stem = stemmed(text)
    number = stem[0].isdecimal()
    name = not number and ((text[0].isupper() and not opens) or (len(text) > 1 and text.isupper()))
    return Word(found.start(), found.end(), stem, number, name)


def stemmed(word: str) -> str:
    """A rough stem: case, possessive and common English endings off; numbers without separators, and from words."""
    if word[0].isdecimal():
        return _number(word)
    bare = _POSSESSIVE.sub("", word.lower())
    return _NUMBERS.get(bare) or _SUFFIX.sub("", bare)


def _number(word: str) -> str:
    """`1,000` as `1000` and `3.50` as `3.5`."""
    plain = word.replace(",", "")
    return plain.rstrip("0").rstrip(".") if plain.count(".") == 1 else plain


def known(texts: Iterable[str]) -> frozenset[str]:
    """The stems of all that `texts` say."""
    return frozenset(stemmed(found.group()) for text in texts for found in _WORD.finditer(text))


def novel(said: Sequence[Word], known: frozenset[str]) -> list[Word]:
    """Those of `said` that `known` does not have."""
    return [word for word in said if word.stem not in known]
