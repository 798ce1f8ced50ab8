"""What a text must have for personal data to be in it: digits in a row, an `@`. Most have none and need no asking.

These are the conditions under which `gateway.policy.engines.recognisers` looks at a text at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

BETWEEN = " .-/()+"  # characters that may stand between the digits of a number, three at most
BEYOND = "\u00a0\u2011"  # and those that are not in ASCII


def _class(char: str) -> bytes:
    if char in BETWEEN:
        return b" "
    return b"0" if char.isdigit() else b"a" if char.isalpha() else b"."


_SHAPES = b"".join(_class(chr(code)) for code in range(128)) + bytes(128)


def shape(text: str) -> bytes:
    """Of a text in ASCII: `0` for a digit, `a` for a letter, a blank for what may stand in a number, else a point."""
    return text.encode().translate(_SHAPES)


@dataclass(frozen=True, slots=True)
class Rows:
    """Finds rows of so many digits: in the shape of a text in ASCII, where it is ten times faster; in any text."""

    shaped: re.Pattern[bytes]
    other: re.Pattern[str]

    @classmethod
    def of(cls, least: int) -> Self:
        more = least - 1
        between = re.escape(BETWEEN) + BEYOND
        return cls(re.compile(rb"0(?: {0,3}0){%d,}" % more), re.compile(rf"\d(?:[{between}]{{0,3}}\d){{{more},}}"))


CARD, SSN, PHONE, NORTH_AMERICAN, IPV4 = 12, 9, 6, 10, 4
"""Digits in a row that each has at least."""
COUNTRY = b"aa00"
"""The shape that an IBAN begins with."""
_COUNTRY = re.compile(r"[A-Za-z]{2}\d\d")

_DIGITS: Mapping[str, int] = {"CREDIT_CARD": CARD, "US_SSN": SSN, "PHONE_NUMBER": PHONE, "IP_ADDRESS": IPV4}
_MARKS: Mapping[str, tuple[str, ...]] = {"EMAIL_ADDRESS": ("@",), "IP_ADDRESS": (":",), "URL": (".", "://")}
_KNOWN = {*_DIGITS, *_MARKS, "IBAN_CODE"}


@dataclass(frozen=True, slots=True)
class Signs:
    """Those of some entities."""

    rows: Rows | None
    marks: tuple[str, ...]
    country: bool

    @classmethod
    def of(cls, entities: Iterable[str]) -> Self | None:
        """None where a text may have one of `entities` without any sign that is known."""
        wanted = set(entities)
        if wanted - _KNOWN:
            return None
        digits = [_DIGITS[entity] for entity in wanted if entity in _DIGITS]
        marks = sorted({mark for entity in wanted for mark in _MARKS.get(entity, ())})
        return cls(Rows.of(min(digits)) if digits else None, tuple(marks), "IBAN_CODE" in wanted)

    def stand_in(self, text: str) -> bool:
        """Whether one does. A text beyond ASCII takes ten times as long to look through."""
        if any(mark in text for mark in self.marks):
            return True
        if not text.isascii():
            return (self.country and bool(_COUNTRY.search(text))) or bool(self.rows and self.rows.other.search(text))
        shaped = shape(text)
        return (self.country and COUNTRY in shaped) or bool(self.rows and self.rows.shaped.search(shaped))
