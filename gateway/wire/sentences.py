"""Where sentences end, decided the same however a text arrives.

Every boundary depends only on the sentence it closes and on the one character after it, so what more text follows
can never move it: a stream may be cut there. Knows the punctuation of Latin and CJK scripts and a few English
abbreviations; no model, linear time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

LONGEST = 1000  # characters; past that the next white space ends the sentence, so that no stream waits for ever

_TAIL = 32  # characters of punctuation and white space; a longer run is looked at when something follows it
_CLOSERS = "\"'”’»)\\]}*_"
# A run that may end a sentence: full-width stops on their own, Latin stops before white space, and white space.
# Possessive, and tried only where a run begins: a million full stops take a million steps.
_STOP = re.compile(rf"[。！？｡][。！？｡」』）{_CLOSERS}]*+\s*+|(?<![.!?…])[.!?…]++[{_CLOSERS}]*+\s++|\s++")
_ABBREVIATION = re.compile(
    "adj|approx|apt|ave|capt|cf|co|col|corp|dept|dr|eds?|eq|est|figs?|gen|gov|hon|inc|jr|lt|ltd|messrs|mrs?|ms|mt"
    "|nr|op|pp|prof|pres|rep|rev|sec|sen|sgt|sr|st|vols?|vs"
)
_BEFORE_A_NUMBER = re.compile("art|ch|fig|nos?|p|para|pp|sec|vol")
_INITIALS = re.compile(r"(?:[^\W\d_]\.)*[^\W\d_]\.")


def sentences(text: str) -> list[tuple[int, int]]:
    """Spans `(start, end)` that cover `text` exactly, in order; white space belongs to the sentence before it."""
    marks = [0, *_boundaries(text), len(text)]
    return list(pairwise(marks)) if text else []


def complete(text: str) -> int:
    """The offset up to which sentences are finished, whatever text follows: the start of the last one."""
    return max(_boundaries(text), default=0)


# What a boundary needs besides white space, and where text ends that might become one.
_MARK = re.compile(r"[.!?…。！？｡\n]")
_OPEN = re.compile(rf"[.!?…。！？｡\n][.!?…。！？｡」』）{_CLOSERS}\s]*\Z")
_SPACE = re.compile(r"\s")


def may_end(text: str, start: int, delta: str) -> bool:
    """Whether `delta`, coming after `text`, may end a sentence that began at `start`; where not, `complete` need not
    look again. It may look twice for nothing, but not at every piece of a megabyte without white space.
    """
    if _MARK.search(delta) or _OPEN.search(text, max(start, len(text) - _TAIL)):
        return True
    return len(text) + len(delta) - start > LONGEST and _SPACE.search(text[-1:] + delta) is not None


def _boundaries(text: str) -> Iterator[int]:
    start = 0
    for stop in _STOP.finditer(text):
        at = stop.end()
        if at < len(text) and (_ends(text, start, stop, text[at]) or at - start > LONGEST):
            yield at
            start = at


def _ends(text: str, start: int, stop: re.Match[str], following: str) -> bool:
    run = stop.group()
    match run[0]:
        case "。" | "！" | "？" | "｡":
            return True
        case "!" | "?":
            return not following.islower() or "\n\n" in run
        case "." | "…":
            return "\n\n" in run or (not following.islower() and not _abbreviates(text, start, stop, following))
        case _:  # white space: a blank line ends, a line break unless the next line goes on in lower case
            return run.count("\n") > 1 or ("\n" in run and not following.islower())


def _abbreviates(text: str, start: int, stop: re.Match[str], following: str) -> bool:
    """Whether the stop belongs to the word before it: `Dr.`, `No. 5`, `J. S.`, `U.S.`, or a list's `1.`."""
    word = text[start : stop.start() + 1].rsplit(None, 1)[-1].lstrip("(\"'[“‘*_")
    if stop.group()[:2] in ("..", ".…"):
        return False
    bare = word.rstrip(".").lower()
    if bare.isdecimal():
        return len(bare) < 4 and not text[start : stop.start()].strip().removesuffix(bare)
    return bool(
        _ABBREVIATION.fullmatch(bare)
        or (_BEFORE_A_NUMBER.fullmatch(bare) and following.isdecimal())
        or _INITIALS.fullmatch(word)
    )
