"""One character at a time to what it stands for: invisible ones to nothing, look-alikes to ASCII, the rest to NFKC.

Because no character depends on its neighbours, a text folds the same however it is split.
"""

from __future__ import annotations

import re
import unicodedata

from gateway.policy.automaton.charset import LAST, SURROGATES
from gateway.policy.normalise.confusables import LOOKALIKES

# Unicode's Default_Ignorable_Code_Point (zero width, bidi, soft hyphen, tags, variation selectors, fillers, byte order
# mark), the annotation marks, and controls that are not white space.
INVISIBLE = (
    "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff"
)
# The blocks of combining diacritical marks; the vowel signs of other scripts are letters and stay.
DIACRITICS = "\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"

_INVISIBLE = re.compile(f"[{INVISIBLE}]")
_DIACRITICS = re.compile(f"[{DIACRITICS}]")
_BREAKS = dict.fromkeys(map(ord, "\x85\u2028\u2029"), "\n")
_BLANKS = dict.fromkeys(map(ord, "\u1680\u2800"), " ")
_LOOKALIKES = {int(code, 16): char for char, codes in LOOKALIKES.items() for code in codes.split()}
_TABLE = {**_LOOKALIKES, **_BREAKS, **_BLANKS}


class Fold(dict[int, str]):
    """A table for `str.translate` that learns a character when it first meets it."""

    def __missing__(self, code: int) -> str:
        new = folded(chr(code))
        if len(self) <= LAST // 16:
            self[code] = new
        return new


def folded(char: str) -> str:
    """What one character stands for; itself for printable ASCII."""
    if "\t" <= char <= "\r" or " " <= char <= "~":
        return "" if char in "\v\f" else char
    if SURROGATES[0] <= ord(char) <= SURROGATES[1]:
        return "\N{REPLACEMENT CHARACTER}"
    if _INVISIBLE.match(char):
        return ""
    known = _TABLE.get(ord(char))
    if known is not None:
        return known
    plain = _undecorated(unicodedata.normalize("NFKC", char))
    return plain.translate(_TABLE)


def _undecorated(text: str) -> str:
    marked = unicodedata.normalize("NFD", text)
    return unicodedata.normalize("NFC", _DIACRITICS.sub("", marked))
