"""The codes a run of symbols may carry a text in: base64, hexadecimal, Unicode tags, variation selectors."""

from __future__ import annotations

import re
from binascii import a2b_base64
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Code:
    """`bits` a symbol; after `group` symbols bytes and symbols are level again.

    A match counts if it ends at the `enough`th symbol or later: what carries less than four bytes proves nothing.
    `zero` and `one` are the symbols of all bits unset and set.

    `seek` finds where a run begins that may carry `enough`, as far as the text is there; it may look back on two
    characters. `pair` are the first two symbols of such a run. Where `wraps`, a run may go on in the next line. `head`
    (RE2) finds the first `enough` symbols of what may be a run, and what stands before.
    """

    bits: int
    group: int
    decode: Callable[[str], bytes]
    enough: int
    symbol: re.Pattern[str]
    symbols: re.Pattern[str]  # one or more
    seek: re.Pattern[str]
    pair: re.Pattern[str]
    zero: str = ""
    one: str = ""
    head: str = ""
    wraps: bool = False


_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_URL_SAFE = str.maketrans("-_", "+/")


def _base64(symbols: str) -> bytes:
    whole = symbols[:-1] if len(symbols) % 4 == 1 else symbols
    return a2b_base64(whole.translate(_URL_SAFE) + "=" * (-len(whole) % 4))


def _hex(symbols: str) -> bytes:
    return bytes.fromhex(symbols[: len(symbols) // 2 * 2])


def _tags(symbols: str) -> bytes:
    return bytes(ord(c) & 0x7F for c in symbols)


def _selectors(symbols: str) -> bytes:
    return bytes(c - 0xFE00 if c < 0xFE10 else c - 0xE0100 + 16 for c in map(ord, symbols))


def _symbols(test: Callable[[int], bool]) -> str:
    """The symbols of base64 whose six bits pass `test`, as a bracket expression."""
    both = {62: "+\\-", 63: "/_"}
    return "[" + "".join(both.get(value, symbol) for value, symbol in enumerate(_ALPHABET) if test(value)) + "]"


# A byte of a text is a tab, a line end, printable, the first of several or one that follows. What a symbol's six bits
# must be for that, by its place: the byte's first six; two of one and four of the next; four and two.
_PLAIN = _symbols(lambda v: v in {2, 3} or 8 <= v < 32)
_LEAD = _symbols(lambda v: 48 <= v < 62)
_TRAIL = _symbols(lambda v: 32 <= v < 48)
_PLAIN_PLAIN = _symbols(lambda v: v & 15 in {0, 2, 3, 4, 5, 6, 7})
_PLAIN_LEAD = _symbols(lambda v: v & 15 >= 12)
_LEAD_TRAIL = _symbols(lambda v: 8 <= v & 15 < 12)
_THIRD_PLAIN = _symbols(lambda v: v & 3 < 2)
_THIRD_TRAIL = _symbols(lambda v: v & 3 == 2)
_THIRD_LEAD = _symbols(lambda v: v & 3 == 3)
_SOME = "[A-Za-z0-9+/_-]"
_FOUR_BYTES = "|".join(
    (
        f"{_PLAIN}{_PLAIN_PLAIN}{_THIRD_PLAIN}{_SOME}(?:{_PLAIN}|{_LEAD}){_SOME}",
        f"{_PLAIN}{_PLAIN_PLAIN}{_THIRD_LEAD}{_SOME}{_TRAIL}{_SOME}",
        f"{_PLAIN}{_PLAIN_LEAD}{_THIRD_TRAIL}{_SOME}{{3}}",
        f"{_LEAD}{_LEAD_TRAIL}{_SOME}{{4}}",
    )
)
_PAIR = f"{_PLAIN}(?:{_PLAIN_PLAIN}|{_PLAIN_LEAD})|{_LEAD}{_LEAD_TRAIL}"
_HEX = "[0-9A-Fa-f]"
_HEX_PAIR = rf"0[9adAD]|[2-7c-fC-F]{_HEX}"

BASE64 = Code(
    bits=6,
    group=4,
    decode=_base64,
    enough=6,
    symbol=re.compile(_SOME),
    symbols=re.compile(f"{_SOME}+"),
    # Letters and digits that cannot be one, or that end too soon, need no following; behind `/` and such one may begin.
    seek=re.compile(
        rf"(?<![A-Za-z0-9])(?:(?=[A-Za-z0-9]{{6}})(?:{_FOUR_BYTES})"
        rf"|(?=[A-Za-z0-9]{{1,5}}(?:[+/_-]|\Z))(?:{_PAIR}|(?:{_PLAIN}|{_LEAD})\Z))"
    ),
    pair=re.compile(_PAIR),
    zero="A",
    one="/",
    head=f"(?:^|[^A-Za-z0-9])(?:{_FOUR_BYTES})",
    wraps=True,
)
HEX = Code(
    bits=4,
    group=2,
    decode=_hex,
    enough=8,
    symbol=re.compile(_HEX),
    symbols=re.compile(f"{_HEX}+"),
    # Not within a word, unless behind the `0x` of a number.
    seek=re.compile(
        rf"(?:(?<![0-9A-Za-z])|(?<=0[xX]))(?:(?={_HEX}{{8}})(?:{_HEX_PAIR})"
        rf"|(?={_HEX}{{1,7}}\Z)(?:{_HEX_PAIR}|[02-7c-fC-F]\Z))"
    ),
    pair=re.compile(_HEX_PAIR),
    zero="0",
    one="f",
    head=f"(?:^|[^0-9A-Za-z]|0[xX])(?:{_HEX_PAIR})(?:0[9aAdD]|[2-9A-Fa-f]{_HEX}){{3}}",
)


def _hidden(symbols: str, decode: Callable[[str], bytes]) -> Code:
    """A byte a symbol."""
    symbol = re.compile(f"[{symbols}]")
    return Code(
        bits=8,
        group=1,
        decode=decode,
        enough=4,
        symbol=symbol,
        symbols=re.compile(f"[{symbols}]+"),
        seek=symbol,
        pair=symbol,
    )


TAGS = _hidden("\U000e0020-\U000e007e", _tags)
SELECTORS = _hidden("\ufe00-\ufe0f\U000e0100-\U000e01ef", _selectors)
CODES = (BASE64, HEX, TAGS, SELECTORS)
