"""Ways to write a text so that a model still gets it and a plain search does not; and how to read it again.

A disguise's `read` undoes it without any help of the gateway: the oracle must not share what it is to test. `covered`
are those that the normaliser claims to see through; the others are measured and told as they are.
"""

from __future__ import annotations

import base64
import codecs
import html
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import cycle
from urllib.parse import quote, unquote

Change = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Disguise:
    """`put` disguises a text, `read` finds it in whatever surrounds it. `whole`: what surrounds it is disguised too."""

    put: Change
    read: Change
    covered: bool = True
    whole: bool = False
    folds_case: bool = False  # only rules that ignore case see through it


def _between(*marks: str) -> Disguise:
    """A mark behind each character."""
    table = str.maketrans("", "", "".join(marks))

    def put(text: str) -> str:
        return "".join(char + mark for char, mark in zip(text, cycle(marks), strict=False))

    return Disguise(put, lambda text: text.translate(table))


def _spelt(pairs: Mapping[str, str], *, covered: bool = True) -> Disguise:
    """Some characters written as others."""
    there = {ord(plain): alike for plain, alike in pairs.items()}
    back = {ord(alike): plain for plain, alike in pairs.items()}
    return Disguise(lambda t: t.translate(there), lambda t: t.translate(back), covered)


def _shifted(upper: int, lower: int, digit: int) -> dict[str, str]:
    """Letters and digits of another block, which stand there in the order of ASCII."""
    starts = (("A", upper, 26), ("a", lower, 26), ("0", digit, 10))
    return {chr(ord(first) + n): chr(start + n) for first, start, size in starts if start for n in range(size)}


_FULLWIDTH = {chr(c): chr(c + 0xFEE0) for c in range(0x21, 0x7F)}
_CYRILLIC = dict(zip("ACEHKMOPTXYaceopxy", "АСЕНКМОРТХУасеорху", strict=True))
_GREEK = dict(zip("ABEHIKMNOPTXYZ", "ΑΒΕΗΙΚΜΝΟΡΤΧΥΖ", strict=True))
_SMALL = dict(zip("acdenry", "ᴀᴄᴅᴇɴʀʏ", strict=True))
_LEET = dict(zip("AENY", "4€И¥", strict=True))


# Spelling every character


def _each(form: Callable[[str], str], read: Change, *, covered: bool = True) -> Disguise:
    return Disguise(lambda text: "".join(map(form, text)), read, covered)


def _escapes(pattern: str, number: int) -> Change:
    """Undo escapes that spell a code point in base `number`."""
    found = re.compile(pattern)
    return lambda text: found.sub(lambda m: chr(int(m[1], number)), text)


def _tagged(char: str) -> str:
    return chr(0xE0000 + ord(char))


def _untagged(text: str) -> str:
    return "".join(chr(ord(c) - 0xE0000) if 0xE0020 <= ord(c) <= 0xE007E else c for c in text)


def _selector(char: str) -> str:
    return chr(0xFE00 + ord(char) if ord(char) < 16 else 0xE0100 + ord(char) - 16)


def _unselected(text: str) -> str:
    return "".join(chr(ord(c) - 0xE0100 + 16) if 0xE0100 <= ord(c) <= 0xE01EF else c for c in text)


# Codes that carry bytes


def _coded(encode: Callable[[bytes], bytes], decode: Change, *, covered: bool = True, whole: bool = False) -> Disguise:
    return Disguise(lambda text: encode(text.encode()).decode(), decode, covered, whole)


def _wrapped(data: bytes) -> bytes:
    code = base64.b64encode(data + b" " + b"and so on, " * 9)
    return b"\n".join(code[at : at + 76] for at in range(0, len(code), 76))


_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{4,}")


def _unbased(text: str) -> str:
    """What any run of base64 says, begun at any of its symbols: bits may be out of step where something was cut."""
    joined = text.replace("\n", "").replace("\\n", "")
    runs = [run.translate(str.maketrans("-_", "+/")) for run in _BASE64.findall(joined)]
    return text + "\n" + "\n".join(_bytes(run[k:]) for run in runs for k in range(4))


def _bytes(run: str) -> str:
    whole = run[: len(run) // 4 * 4] + (
        rest + "=" * (-len(rest) % 4) if len(rest := run[len(run) // 4 * 4 :]) > 1 else ""
    )
    return base64.b64decode(whole).decode("latin-1")


_HEX = re.compile(r"[0-9A-Fa-f]{2,}")


def _unhexed(text: str) -> str:
    pairs = [run[k:][: (len(run) - k) // 2 * 2] for run in _HEX.findall(text) for k in (0, 1)]
    return text + "\n" + "\n".join(bytes.fromhex(pair).decode("latin-1") for pair in pairs)


def _twice(text: str) -> str:
    return _unbased(_unbased(text))


def _b32(text: str) -> str:
    runs = (run[: len(run) // 8 * 8] for run in re.findall("[A-Z2-7]{8,}", text))
    return text + "\n" + "\n".join(base64.b32decode(run).decode("latin-1") for run in runs)


def _utf16(text: str) -> str:
    return _unbased(text).replace("\x00", "")


def _flipped(text: str) -> str:
    return "".join(c.upper() if n % 2 else c.lower() for n, c in enumerate(text))


_NATO = {"A": "Alfa", "C": "Charlie", "D": "Delta", "E": "Echo", "N": "November", "R": "Romeo", "Y": "Yankee"}


def _nato(text: str) -> str:
    return " ".join(_NATO.get(char, char) for char in text)


def _unnato(text: str) -> str:
    back = {word: char for char, word in _NATO.items()}
    return text + "\n" + "".join(back.get(word, word) for word in text.split(" "))


def _itself(text: str) -> str:
    return text


DISGUISES: Mapping[str, Disguise] = {
    "none": Disguise(_itself, _itself),
    # invisible
    "zero-width": _between("\u200b", "\u200c", "\u2060", "\ufeff"),
    "joiner": _between("\u200d"),
    "soft-hyphen": _between("\u00ad"),
    "bidi": _between("\u202e", "\u202c", "\u2066", "\u2069", "\u200f"),
    "filler": _between("\u034f", "\u3164", "\u2063"),
    "control": _between("\x07", "\x7f", "\x01"),
    "selector-marks": _between("\ufe0f"),
    "combining": _between("\u0336", "\u0301", "\u20d2"),
    "tags": _each(_tagged, _untagged),
    "variation-selectors": _each(_selector, _unselected),
    # look-alikes
    "fullwidth": _spelt(_FULLWIDTH),
    "cyrillic": _spelt(_CYRILLIC),
    "greek": _spelt(_GREEK),
    "math-bold": _spelt(_shifted(0x1D400, 0x1D41A, 0x1D7CE)),
    "math-mono": _spelt(_shifted(0x1D670, 0x1D68A, 0x1D7F6)),
    "circled": _spelt(_shifted(0x24B6, 0x24D0, 0)),
    "squared": _spelt(_shifted(0x1F130, 0, 0)),
    "regional": _spelt(_shifted(0x1F1E6, 0, 0)),
    "dashes": _spelt({"-": "\u2010"}),
    "accents": Disguise(
        lambda t: t.translate(str.maketrans("ACENYaceny", "ÁÇÊÑÝáçêñý")),
        lambda t: "".join(c for c in unicodedata.normalize("NFD", t) if not unicodedata.combining(c)),
    ),
    # escapes
    "percent": _each(lambda c: f"%{ord(c):02X}", unquote),
    "percent-some": Disguise(lambda t: quote(t, safe="").replace("A", "%41").replace("-", "%2d"), unquote),
    "unicode-escapes": _each(lambda c: f"\\u{ord(c):04x}", _escapes(r"\\u([0-9a-f]{4})", 16)),
    "hex-escapes": _each(lambda c: f"\\x{ord(c):02x}", _escapes(r"\\x([0-9a-f]{2})", 16)),
    "brace-escapes": _each(lambda c: f"\\u{{{ord(c):x}}}", _escapes(r"\\u\{([0-9a-f]+)\}", 16)),
    "html-decimal": _each(lambda c: f"&#{ord(c)};", html.unescape),
    "html-hex": _each(lambda c: f"&#x{ord(c):X};", html.unescape),
    # codes
    "base64": _coded(base64.b64encode, _unbased),
    "base64-bare": _coded(lambda data: base64.b64encode(data).rstrip(b"="), _unbased),
    "base64url": _coded(base64.urlsafe_b64encode, _unbased),
    "base64-all": _coded(base64.b64encode, _unbased, whole=True),
    "base64-wrapped": _coded(_wrapped, _unbased, whole=True),
    "hex": _coded(lambda data: data.hex().encode(), _unhexed),
    "hex-upper": _coded(lambda data: data.hex().upper().encode(), _unhexed),
    "hex-0x": _coded(lambda data: b"0x" + data.hex().encode(), _unhexed),
    "hex-all": _coded(lambda data: data.hex().encode(), _unhexed, whole=True),
    # case
    "mixed-case": Disguise(_flipped, str.upper, folds_case=True),
    # what the normaliser does not claim
    "mixed-case-exact": Disguise(_flipped, str.upper, covered=False),
    "spaced": Disguise(" ".join, lambda t: t.replace(" ", ""), covered=False),
    "dotted": Disguise(".".join, lambda t: t.replace(".", ""), covered=False),
    "lines": Disguise("\n".join, lambda t: t.replace("\n", "").replace("\\n", ""), covered=False),
    "reversed": Disguise(lambda t: t[::-1], lambda t: t[::-1], covered=False),
    "rot13": Disguise(lambda t: codecs.encode(t, "rot13"), lambda t: codecs.decode(t, "rot13"), covered=False),
    "leet": _spelt(_LEET, covered=False),
    "nato": Disguise(_nato, _unnato, covered=False),
    "base64-twice": _coded(lambda data: base64.b64encode(base64.b64encode(data)), _twice, covered=False),
    "hex-twice": _coded(lambda d: d.hex().encode().hex().encode(), lambda t: _unhexed(_unhexed(t)), covered=False),
    "percent-twice": _each(lambda c: f"%25{ord(c):02X}", lambda t: unquote(unquote(t)), covered=False),
    "html-named": Disguise(lambda t: t.replace("-", "&hyphen;"), html.unescape, covered=False),
    "octal-escapes": _each(lambda c: f"\\{ord(c):03o}", _escapes(r"\\([0-7]{3})", 8), covered=False),
    "quoted-printable": _each(lambda c: f"={ord(c):02X}", _escapes("=([0-9A-F]{2})", 16), covered=False),
    "base32": _coded(base64.b32encode, _b32, covered=False),
    "base64-utf16": Disguise(lambda t: base64.b64encode(t.encode("utf-16-le")).decode(), _utf16, covered=False),
    "hex-spaced": _coded(lambda d: d.hex(" ").encode(), lambda t: _unhexed(t.replace(" ", "")), covered=False),
}
