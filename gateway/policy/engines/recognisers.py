"""Recognisers of our own for what Presidio's miss, or take more than linear time over: e-mail, card, IBAN, phone, URL.

Each is a function from a text to spans. Every pattern here is bounded: no quantifier without a limit stands where a
match can begin at each character, so a text of a megabyte costs a megabyte's time. Most texts have next to nothing
that a match could begin with: patterns open with such a character, or are tried only where a head of theirs stands, so
that prose is run through once for each and no more.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_interface
from itertools import pairwise
from typing import Any

from gateway.policy import signs
from gateway.policy.signs import Rows

SURE, LIKELY, FAIR, WEAK = (
    1.0,
    0.85,
    0.5,
    0.05,
)  # what passes a check | by shape alone | shape, shared by others | needs context


@dataclass(frozen=True, slots=True)
class Span:
    start: int
    end: int
    score: float


Recogniser = Callable[[str], Iterator[Span]]


def _headed(pattern: re.Pattern[str], heads: Iterable[int], text: str) -> Iterator[re.Match[str]]:
    """What `pattern.finditer(text)` finds, where `heads` are, in order, all places at which a match may begin."""
    at = 0
    for head in heads:
        if head >= at and (match := pattern.match(text, head)):
            yield match
            at = match.end()


def _everywhere(text: str, what: str) -> Iterator[int]:
    at = text.find(what)
    while at >= 0:
        yield at
        at = text.find(what, at + 1)


def _in_rows(head: re.Pattern[str], rows: Rows, text: str) -> Iterator[int]:
    """Where `head` stands in a row of digits, or in what opens one."""
    found: Iterable[re.Match[Any]]
    found = rows.shaped.finditer(signs.shape(text)) if text.isascii() else rows.other.finditer(text)
    for row in found:
        for match in head.finditer(text, max(0, row.start() - 3), row.end()):
            yield match.start()


# E-mail: the local part begins with a word character and is at most 64 long (RFC 5321, 4.5.3.1.1).
_EMAIL = re.compile(
    r"(?<![\w.%+'\-])\w[\w.%+'\-]{0,63}@(?:[^\W_](?:[\w\-]{0,61}[^\W_])?\.){1,8}(?:xn--[a-z0-9\-]{2,59}|[^\W\d_]{2,24})(?![\w@])",
    re.IGNORECASE,
)
_LOCAL = re.compile(r"[\w.%+'\-]*")


def _locals(text: str) -> Iterator[int]:
    """Where an address may begin: at the first of all characters of local parts that stand before an `@`."""
    for at in _everywhere(text, "@"):
        before = _LOCAL.match(text[max(0, at - 65) : at][::-1])
        yield at - (before.end() if before else 0)


def emails(text: str) -> Iterator[Span]:
    for match in _headed(_EMAIL, _locals(text), text):
        yield Span(*match.span(), SURE)


# Cards: ISO/IEC 7812 numbers of 12 to 19 digits, in groups or not, with a known issuer and a right check digit.
_DIGITS = re.compile(r"(?<![\w.])\d(?:[ .\-\u00a0]?\d){11,29}(?!\d)")
_DIGITS_HEAD, _DIGITS_ROWS = re.compile(r"\d(?<![\w.]\d)"), Rows.of(signs.CARD)
_ISSUERS: tuple[tuple[re.Pattern[str], tuple[int, ...]], ...] = (
    (re.compile(r"4"), (19, 16, 13)),
    (re.compile(r"5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720|220[0-4]|9792"), (16,)),
    (re.compile(r"3[47]|2131|1800"), (15,)),
    (re.compile(r"30[0-59]|3[689]"), (19, 16, 14)),
    (re.compile(r"35"), (19, 16)),
    (re.compile(r"50|5[6-9]|6|81|0604"), (19, 18, 17, 16, 15, 14, 13, 12)),
)


def cards(text: str) -> Iterator[Span]:
    for run in _headed(_DIGITS, _in_rows(_DIGITS_HEAD, _DIGITS_ROWS, text), text):
        places = [i for i in range(*run.span()) if text[i].isdigit()]
        digits = "".join(text[i] for i in places)
        gaps = {i: text[places[i] - 1] for i in range(1, len(places)) if places[i] - places[i - 1] > 1}
        gaps[len(places)] = ""
        begin = after = 0  # after the card before
        while begin <= len(digits) - 12:
            length, score = _card(digits, begin, gaps, fresh=begin == after)
            if length:
                after = begin + length
                yield Span(places[begin], places[begin + length - 1] + 1, score)
            begin = min(gap for gap in gaps if gap >= begin + max(1, length))


def _card(digits: str, begin: int, gaps: dict[int, str], *, fresh: bool) -> tuple[int, float]:
    """Length and score of the card number at `begin`, 0 if there is none. It ends where a group of digits does.

    `fresh` is false where groups of digits stand before it that are no card's.
    """
    lengths = next((lengths for issuer, lengths in _ISSUERS if issuer.match(digits, begin)), ())
    fitting = [n for n in lengths if _fits(begin, begin + n, gaps, fresh) and len(set(digits[begin : begin + n])) > 1]
    valid = [n for n in fitting if _luhn(digits[begin : begin + n])]
    if valid:
        return valid[0], SURE
    return (16, WEAK) if 16 in fitting else (0, 0.0)


def _fits(begin: int, end: int, gaps: dict[int, str], fresh: bool) -> bool:
    """Whether the digits from `begin` to `end` are one group, or groups of four to six with the same thing between."""
    inner = [gap for gap in gaps if begin < gap < end]
    between = {gaps[gap] for gap in inner}
    sizes = [b - a for a, b in pairwise([begin, *inner])]
    apart = fresh or not inner or gaps[begin] not in between
    return end in gaps and apart and len(between) < 2 and all(4 <= size <= 6 for size in sizes)


def _luhn(digits: str) -> bool:
    total = sum(map(int, digits[-1::-2]))
    return (total + sum(sum(divmod(2 * int(d), 10)) for d in digits[-2::-2])) % 10 == 0


# IBAN: ISO 13616. Length by country from the registry's structure field; any other country needs its check digits.
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?:[ \-]?[A-Za-z0-9]){11,30}")
_IBAN_HEAD = re.compile(r"\d(?<=[A-Za-z]{2}\d)(?=\d)")
_IBAN_LENGTHS = {
    **dict.fromkeys(("NO",), 15),
    **dict.fromkeys(("BE",), 16),
    **dict.fromkeys(("DK", "FI", "FO", "GL", "NL", "SD", "FK"), 18),
    **dict.fromkeys(("MK", "SI"), 19),
    **dict.fromkeys(("AT", "BA", "EE", "KZ", "LT", "LU", "XK", "MN"), 20),
    **dict.fromkeys(("CH", "HR", "LI", "LV"), 21),
    **dict.fromkeys(("BG", "BH", "CR", "DE", "GB", "GE", "IE", "ME", "RS", "VA"), 22),
    **dict.fromkeys(("AE", "GI", "IL", "IQ", "TL", "OM", "SO"), 23),
    **dict.fromkeys(("AD", "CZ", "ES", "MD", "PK", "RO", "SA", "SE", "SK", "TN", "VG"), 24),
    **dict.fromkeys(("LY", "PT", "ST"), 25),
    **dict.fromkeys(("IS", "TR"), 26),
    **dict.fromkeys(("BI", "DJ", "FR", "GR", "IT", "MC", "MR", "SM"), 27),
    **dict.fromkeys(("AL", "AZ", "BY", "CY", "DO", "GT", "HU", "LB", "PL", "SV", "NI"), 28),
    **dict.fromkeys(("BR", "EG", "PS", "QA", "UA"), 29),
    **dict.fromkeys(("JO", "KW", "MU", "YE"), 30),
    **dict.fromkeys(("MT", "SC"), 31),
    **dict.fromkeys(("LC",), 32),
    **dict.fromkeys(("RU",), 33),
}


def _countries(text: str) -> Iterator[int]:
    if not text.isascii():
        return (match.start() - 2 for match in _IBAN_HEAD.finditer(text))
    return _everywhere(signs.shape(text).decode(), signs.COUNTRY.decode())


def ibans(text: str) -> Iterator[Span]:
    for match in _headed(_IBAN, _countries(text), text):
        places = [i for i in range(*match.span()) if text[i] not in " -"]
        number = "".join(text[i] for i in places).upper()
        ends = _ends(text, places)
        registered = _IBAN_LENGTHS.get(number[:2], 0)
        valid = [n for n in ends if _mod97(number[:n])]
        if valid or registered in ends:
            length = registered if registered in valid or not valid else valid[-1]
            yield Span(match.start(), places[length - 1] + 1, SURE if valid else WEAK)


def _ends(text: str, places: list[int]) -> list[int]:
    """How many characters an IBAN at `places` may have: it is one group, or groups of four and a last one as long."""
    joints = [n for n in range(1, len(places)) if places[n] - places[n - 1] > 1]
    if not text[places[-1] + 1 : places[-1] + 2].isalnum():
        joints.append(len(places))
    ends, last = [], 0
    for joint in joints:
        if joint >= 15 and (last == 0 or joint - last <= 4):
            ends.append(joint)
        if joint - last != 4:
            break
        last = joint
    return ends


def _mod97(iban: str) -> bool:
    return int("".join(str(int(c, 36)) for c in iban[4:] + iban[:4])) % 97 == 1


# URLs: with a scheme or `www.`, anything; bare, only below a domain that is no file's ending.
_URL = re.compile(
    r"(?<![\w@])(?:(?:https?|ftps?|wss?)://|www\d{0,3}\.)[^\s<>\"'`{}|\\^\[\]()]{3,2000}(?:\([^\s<>\"'()]{0,200}\)[^\s<>\"'`{}|\\^\[\]()]{0,500})?",
    re.IGNORECASE,
)
_HOST = re.compile(
    r"(?<![\w@.\-/])(?:[a-z0-9](?:[a-z0-9\-]{0,61}[a-z0-9])?\.){1,8}(?:com|org|net|edu|gov|mil|int|info|biz|io|co|ai|app|dev|xyz|online|site|shop"
    r"|store|tech|cloud|me|tv|us|uk|de|fr|es|it|nl|be|ch|at|eu|ca|au|nz|jp|cn|in|br|ru|pl|se|no|dk|fi|cz|hu|gr|ie|il|za|mx|ar|cl|kr|tr|ua|ro|bg"
    r"|hr|si|sk|lt|lv|ee|pt|sg|hk|tw|th|vn|id|my|ph|ng|ke|gov|news|blog)(?![\w@\-]|\.\w)(?::\d{1,5})?(?:/[^\s<>\"'`{}|\\^\[\]()]{0,1000})?",
    re.IGNORECASE,
)
_TRAILING = ".,;:!?*_~"
_WWW = re.compile(r"[Ww](?<![\w@][Ww])")
_SCHEME = re.compile(r"(?<![\w@])(?:https?|ftps?|wss?)\Z", re.IGNORECASE)
_LABELS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.\u017f\u212a"  # the last two are s and k
_DOMAIN = re.compile(
    r"\.(?=(?:com|org|net|edu|gov|mil|int|info|biz|io|co|ai|app|dev|xyz|online|site|shop"
    r"|store|tech|cloud|me|tv|us|uk|de|fr|es|it|nl|be|ch|at|eu|ca|au|nz|jp|cn|in|br|ru|pl|se|no|dk|fi|cz|hu|gr|ie|il|za|mx|ar|cl|kr|tr|ua|ro|bg"
    r"|hr|si|sk|lt|lv|ee|pt|sg|hk|tw|th|vn|id|my|ph|ng|ke|gov|news|blog)(?![\w@\-]|\.\w))",
    re.IGNORECASE,
)


def _schemes(text: str) -> list[int]:
    """Where a URL may begin."""
    www = _everywhere(text.lower(), "www") if text.isascii() else (match.start() for match in _WWW.finditer(text))
    before = (_SCHEME.search(text, max(0, at - 5), at) for at in _everywhere(text, "://"))
    return sorted([*www, *(scheme.start() for scheme in before if scheme)])


def _hosts(text: str) -> Iterator[int]:
    """Where a host may begin: at the first of the characters of labels that stand before a domain."""
    for domain in _DOMAIN.finditer(text):
        near = text[max(0, domain.start() - 600) : domain.start()]
        yield domain.start() - len(near) + len(near.rstrip(_LABELS))


def urls(text: str) -> Iterator[Span]:
    for match in _headed(_URL, _schemes(text), text):
        end = match.start() + len(match[0].rstrip(_TRAILING))
        yield Span(match.start(), end, SURE)  # and so better than an address inside it
    if "." in text:
        for match in _headed(_HOST, _hosts(text), text):
            yield Span(match.start(), match.start() + len(match[0].rstrip(_TRAILING)), FAIR)


# Phones: by shape. What no other number is written like is likely one; the rest needs a word for it nearby.
_EXTENSION = r"(?P<extension> ?x\d{1,6}|[ ,;]{0,2}ext(?:ension|\.)?[ .:]{0,2}\d{1,6})?"
_PHONE = re.compile(
    r"(?<![\w/#$€£@%+])(?<!\d[.,:])(?<![A-Za-z0-9]-)"
    r"(?P<country>\+\d{1,3}[ .\-\u00a0]?|00\d{1,3}[ .\-]|[18][ .\-]?(?=\())?(?P<area>\(\+?\d{1,5}\)[ .\-/]?)?"
    rf"\d{{1,12}}(?:[ .\-/\u00a0\u2011]\d{{2,8}}| \d|-\d(?=/)){{0,5}}{_EXTENSION}(?![\w%€$£°]|[.,\-/:]\d)",
    re.IGNORECASE,
)
_NORTH_AMERICAN = re.compile(
    r"(?<![\w/+(.\-])(?:\+?1[ .\-]?|001[ .\-])?(?:\(\d{3}\)[ .\-]?|\d{3}[.\-])\d{3}[.\-]\d{4}"
    rf"{_EXTENSION}(?![\w\-]|\.\d)",
    re.IGNORECASE,
)
_LIKE_NORTH_AMERICAN = re.compile(r"(?:\+?1[ .\-]|001[ .\-])?(?:\(\d{3}\)[ .\-]?|\d{3}[ .\-])\d{3}[ .\-]\d{4}")
_PHONE_HEAD = re.compile(
    r"[+\d(](?<![\w/#$€£@%+][+\d(])(?<!\d[.,:][+\d(])(?<![A-Za-z0-9]-[+\d(])"  # as `_PHONE` demands
)
_PHONE_ROWS = Rows.of(signs.PHONE)
_NORTH_AMERICAN_HEAD, _NORTH_AMERICAN_ROWS = re.compile(r"[+\d(](?<![\w/+(.\-][+\d(])"), Rows.of(signs.NORTH_AMERICAN)
_NO_PHONE = re.compile(  # dates, years; US social security, ZIP+4; decimals, addresses of machines
    r"\d{4}[.\-/]\d{1,2}[.\-/]\d{1,2}|(?:[0-3]?\d)[.\-/](?:[0-3]?\d)[.\-/](?:\d{4}|\d{2})"
    r"|(?:19|20)\d\d(?:[ \-/](?:19|20)\d\d)+"
    r"|\d{3}-\d{2}-\d{4}|\d{5}-\d{4}|\(\d{1,4}\) ?\d{1,2}/\d{1,2}"
    r"|(?!\d{3,4}\.\d{4}$)\d+\.\d+|\d{1,3}(?:\.\d{1,3}){3}"
)


def phones(text: str) -> Iterator[Span]:
    for match in _headed(_NORTH_AMERICAN, _in_rows(_NORTH_AMERICAN_HEAD, _NORTH_AMERICAN_ROWS, text), text):
        yield Span(*match.span(), LIKELY)
    for match in _headed(_PHONE, _in_rows(_PHONE_HEAD, _PHONE_ROWS, text), text):
        yield from _phones(text, match)


def _phones(text: str, match: re.Match[str]) -> Iterator[Span]:
    """The number that `match` is, or those in it where several numbers stand in a row."""
    score = _phone(match)
    if score:
        yield Span(*match.span(), score)
    elif len(match[0]) > 15:
        start, end = match.span()
        spaces = [i for i in range(start, end) if text[i] == " "]
        while start < end:
            part, score = _first(text, start, [end, *(i for i in reversed(spaces) if i > start)])
            if score:
                yield Span(start, part, score)
            start = part + 1


def _first(text: str, start: int, ends: list[int]) -> tuple[int, float]:
    """The longest number from `start` to one of `ends`; if there is none, the nearest end and no score."""
    for end in ends:
        match = _PHONE.fullmatch(text, start, end)
        if match and (score := _phone(match)):
            return end, score
    return ends[-1], 0.0


def _phone(match: re.Match[str]) -> float:
    country, area, extension = match.group("country", "area", "extension")
    number = match[0][: match.start("extension") - match.start()] if extension else match[0]
    size = sum(map(str.isdigit, number))
    grouped = size < len(number)
    same = len(set(filter(str.isdigit, number))) < 2
    if same or not (6 if grouped else 7) <= size <= 15 or _NO_PHONE.fullmatch(number):
        return 0.0
    if size >= 7 and (country or area or (extension and grouped) or _LIKE_NORTH_AMERICAN.fullmatch(number)):
        return LIKELY
    if size > 13:  # more have only numbers with a country's code (ITU-T E.164)
        return 0.0
    if number[0] == "0" and 9 <= size <= 12 and grouped:
        return FAIR
    return WEAK


# US social security: area, group, serial, with what the SSA never issues left out.
_SSN = re.compile(
    r"(?<![\w.,\-])(?P<area>\d{3})(?P<gap>[ .\-]?)(?P<group>\d{2})(?P=gap)(?P<serial>\d{4})(?![\w\-]|[.,]\d)"
)
_SSN_HEAD, _SSN_ROWS = re.compile(r"\d(?<![\w.,\-]\d)"), Rows.of(signs.SSN)
_SSN_SCORES = {"-": LIKELY, ".": FAIR, " ": WEAK, "": WEAK}


def ssns(text: str) -> Iterator[Span]:
    for match in _headed(_SSN, _in_rows(_SSN_HEAD, _SSN_ROWS, text), text):
        area, gap, group, serial = match.group("area", "gap", "group", "serial")
        if area in ("000", "666") or area[0] == "9" or group == "00" or serial == "0000":
            continue
        yield Span(*match.span(), _SSN_SCORES[gap])


# Addresses of machines. What is too short to be told from a version, a slice or a C++ name is left alone.
_IPV4 = r"(?:\d{1,3}\.){3}\d{1,3}"
_IP = re.compile(
    rf"(?<![\w.:]){_IPV4}(?:/\d{{1,2}})?(?!\w|\.\d)"
    rf"|(?<![\w:.])(?=[0-9a-f]{{0,4}}:)[0-9a-f:]{{2,39}}(?:(?<=:){_IPV4})?(?:%\w{{1,15}})?(?:/\d{{1,3}})?(?![\w:]|\.\d)",
    re.IGNORECASE,
)
_IPV4_HEAD = re.compile(r"\d(?<![\w.:]\d)(?=\d{0,2}\.)")
_HEX = "0123456789abcdefABCDEF"


def _machines(text: str) -> list[int]:
    """Where an address may begin: at a number before a dot, or at the few digits before a colon."""
    found = [match.start() for match in _IPV4_HEAD.finditer(text)] if "." in text else []
    for at in _everywhere(text, ":"):
        near = text[max(0, at - 5) : at]
        found.append(at - len(near) + len(near.rstrip(_HEX)))
    return sorted(found)


def addresses(text: str) -> Iterator[Span]:
    for match in _headed(_IP, _machines(text), text):
        if _address(match[0]):
            yield Span(*match.span(), FAIR)


def _address(text: str) -> bool:
    try:
        ip_interface(text)
    except ValueError:
        return False
    groups = re.findall(r"[0-9A-Fa-f]+", text.partition("%")[0].partition("/")[0])
    return "." in text or len(groups) == 8 or max(map(len, groups), default=0) > 2
