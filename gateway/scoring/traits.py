"""What is told of a text where its words are not kept: its language, whether it refuses, its content words.

A rough guess is enough: a shift in how often each is seen is what is looked for, and that needs the same guess twice.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType

from gateway.scoring.words import content

READ = 2_000  # characters that are looked at
WORDS = 40  # content words that are kept of a text

_COMMON: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        line[:2]: frozenset(line[3:].split())
        for line in """\
en the and of to is in that it you for with are this was have what how not be can
de der die das und ist nicht ich sie mit ein eine für auf den von zu wie was dem im
fr le la les et est des une que pour dans qui vous je pas sur du ce avec comment il
es el la los que y es en un una por para con del se no las cómo como qué lo
it il che di è non la per un una sono con del della come le gli si mi ho anche
pt que não é de para uma um com os as do da em por mais como você eu se está
nl de het een en van is niet dat ik je met voor zijn op te hoe wat aan er maar
pl nie to jest się na że w do i z co jak za po tak dla od czy ale jest
tr bir ve bu ne için de da çok mi ile gibi nasıl değil var ben sen olan daha en ki
sv och att det som en på är av för med den till inte om ett jag hur vad kan du""".splitlines()
    }
)
_SCRIPTS = (
    ("ja", re.compile(r"[\u3040-\u30ff]")),
    ("ko", re.compile(r"[\uac00-\ud7af]")),
    ("zh", re.compile(r"[\u4e00-\u9fff]")),
    ("ru", re.compile(r"[\u0400-\u04ff]")),
    ("ar", re.compile(r"[\u0600-\u06ff]")),
    ("he", re.compile(r"[\u0590-\u05ff]")),
    ("hi", re.compile(r"[\u0900-\u097f]")),
    ("el", re.compile(r"[\u0370-\u03ff]")),
    ("th", re.compile(r"[\u0e00-\u0e7f]")),
)
_WORD = re.compile(r"[^\W\d_]+")
_TERM = re.compile(r"[^\W_][\w'’-]{2,31}")
_REFUSAL = re.compile(
    r"\b(?:i['’]?m|i am) (?:very |so |really )?(?:sorry|afraid)\b.{0,60}"
    r"\b(?:can(?:no|')?t|cannot|unable|not able|won['’]t)"
    r"|\bi (?:can['’]?t|cannot|won['’]t|am unable to|am not able to|must decline to)"
    r" (?:help|assist|provide|comply|do that|answer|discuss|share|support|fulfil|create|engage)"
    r"|\bi['’]m (?:unable|not able) to (?:help|assist|provide|comply|answer|discuss|share|fulfil)"
    r"|\b(?:as an ai|against my (?:guidelines|programming))\b.{0,80}\b(?:can(?:no|')?t|cannot|unable|not able)",
    re.IGNORECASE | re.DOTALL,
)


def language(text: str) -> str:
    """Two letters; `other` for a script or words that are not known, `none` where there is hardly a word."""
    text = text[:READ]
    for code, letters in _SCRIPTS:
        if len(letters.findall(text)) * 4 > sum(map(str.isalpha, text)):
            return code
    words = Counter(word.lower() for word in _WORD.findall(text))
    if words.total() < 3:
        return "none"
    seen = {code: sum(words[word] for word in common) for code, common in _COMMON.items()}
    best = max(seen, key=seen.__getitem__)
    return best if seen[best] * 12 > words.total() else "other"


def refuses(text: str) -> bool:
    """Whether an answer begins by declining, in English."""
    return _REFUSAL.search(text[:400]) is not None


def terms(text: str) -> list[str]:
    """The content words of a text, in order, none twice."""
    whole = (term.lower().replace("’", "'").partition("'")[0] for term in _TERM.findall(text[:READ]))
    found = dict.fromkeys(term for term in whole if len(term) > 2 and content(term) and not term.isdigit())
    return list(found)[:WORDS]
