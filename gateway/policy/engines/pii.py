"""Presidio in a worker, without a model: checksums and shapes, words nearby, and one span where several overlap.

Its analyzer engine is not used: it would skip a pattern that takes too long, and its phone, e-mail and URL patterns
take more than linear time. Its recognisers are, each by itself.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from bisect import bisect_left
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from gateway.errors import WorkerFault
from gateway.policy.engines import recognisers
from gateway.policy.engines.recognisers import Recogniser, Span
from gateway.policy.entities import ENTITIES

Json = Any

_OWN: dict[str, Recogniser] = {
    "CREDIT_CARD": recognisers.cards,
    "EMAIL_ADDRESS": recognisers.emails,
    "IBAN_CODE": recognisers.ibans,
    "PHONE_NUMBER": recognisers.phones,
    "URL": recognisers.urls,
    "US_SSN": recognisers.ssns,
}

_BEFORE, _AFTER, _BOOST, _FLOOR = 60, 16, 0.35, 0.4  # characters each side; the last two as Presidio's own enhancer has

# Words that make a weak match likely, where Presidio's own would fire on too much ("us", "states", "number").
_WORDS: dict[str, str] = {
    "CREDIT_CARD": r"cards?|credit|debit|visa|mastercard|amex|american express|maestro|discover|diners|jcb|cc|pan",
    "IBAN_CODE": r"iban|bank|account|konto|transfer",
    "PHONE_NUMBER": (
        r"(?:tele|cell|smart)?phones?|tel|telefono?|cells?|cellular|mobiles?|call(?:s|ed|ing)?(?! (?:an?|the|for|it)\b)"
        r"|fax|contact|reach|dial|ring|whatsapp|sms|text(?:ed)?|hotline|helpline|voicemail|answer(?:s|ing)?"
        r"|(?:my|your|his|her|our|their) (?:new )?number"
    ),
    "US_BANK_NUMBER": r"bank|accounts?|acct|acc|checking|savings|debit",
    "US_DRIVER_LICENSE": r"driver'?s?|driving|licen[cs]es?|permit|dl|dmv",
    "US_ITIN": r"itin|taxpayer|tax|individual",
    "US_PASSPORT": r"passports?",
    "US_SSN": r"ssn?s?|social|security",
}
_FOLLOWING = {"PHONE_NUMBER": r"office|fax|mobile|home|work|cell|phone"}


def prepare(spec: Json) -> dict[str, Kind]:
    """What finds each of `{"entities": [...]}`; names are those of `ENTITIES`."""
    os.environ["REGEX_TIMEOUT_SECONDS"] = "3600"  # Presidio skips a pattern that times out; we would rather be killed
    _quieten()
    return {entity: _kind(entity) for entity in sorted(set(spec["entities"]) & set(ENTITIES))}


@asynccontextmanager
async def open(spec: Json, prepared: dict[str, Kind]) -> AsyncIterator[Engine]:  # noqa: A001, ARG001 - the harness's words
    yield Engine(prepared)


@dataclass(frozen=True, slots=True)
class Kind:
    """How one entity is found, and the words that speak for it before and after."""

    recogniser: Recogniser
    before: re.Pattern[str] | None
    after: re.Pattern[str] | None

    def spans(self, text: str) -> Iterator[Span]:
        for span in self.recogniser(text):
            yield Span(span.start, span.end, min(1.0, self._boosted(text, span)))

    def _boosted(self, text: str, span: Span) -> float:
        if span.score >= recognisers.SURE or not self._spoken_for(text, span):
            return span.score
        return max(span.score + _BOOST, _FLOOR)

    def _spoken_for(self, text: str, span: Span) -> bool:
        before, after = text[max(0, span.start - _BEFORE) : span.start], text[span.end : span.end + _AFTER]
        return bool((self.before and self.before.search(before)) or (self.after and self.after.search(after)))


@dataclass(frozen=True, slots=True)
class Engine:
    kinds: dict[str, Kind]

    async def call(self, method: str, payload: Json) -> Json:
        """`inspect` takes `{"entities", "score", "texts"}`, gives `{"spans": [[[start, end, entity, score], …], …]}`.

        Offsets are code points; the spans of a text are in order and do not overlap.
        """
        if method != "inspect":
            raise WorkerFault(f"pii: no method {method!r}")
        spans = []
        for text in payload["texts"]:
            spans.append(self.spans(text, payload["entities"], payload["score"]))
            await asyncio.sleep(0)  # other callers' texts, and the harness's own business, between two of ours
        return {"spans": spans}

    def spans(self, text: str, entities: Iterable[str], score: float) -> list[list[Any]]:
        found = [
            (span, entity) for entity in entities for span in self.kinds[entity].spans(text) if span.score >= score
        ]
        return [[s.start, s.end, entity, round(s.score, 2)] for s, entity in _disjoint(found)]


def _disjoint(found: list[tuple[Span, str]]) -> list[tuple[Span, str]]:
    """The best of spans that overlap: the surest, then the longest."""
    kept: list[tuple[Span, str]] = []
    starts: list[int] = []
    for span, entity in sorted(found, key=lambda f: (-f[0].score, f[0].start - f[0].end, f[0].start)):
        at = bisect_left(starts, span.end)
        if at == 0 or kept[at - 1][0].end <= span.start:
            starts.insert(at, span.start)
            kept.insert(at, (span, entity))
    return kept


# What finds an entity…


def _kind(entity: str) -> Kind:
    if entity in _OWN:
        return Kind(_OWN[entity], _words(_WORDS.get(entity)), _words(_FOLLOWING.get(entity)))
    recogniser = _presidio(entity)
    words = _WORDS.get(entity) or "|".join(re.escape(w.strip()) for w in recogniser.context or ())
    return Kind(lambda text: _found(recogniser, entity, text), _words(words), _words(_FOLLOWING.get(entity)))


def _words(words: str | None) -> re.Pattern[str] | None:
    return re.compile(rf"(?<!\w)(?:{words})(?!\w)", re.IGNORECASE) if words else None


def _found(recogniser: Any, entity: str, text: str) -> Iterator[Span]:
    for result in recogniser.analyze(text, [entity]):
        yield Span(result.start, result.end, result.score)


def _presidio(entity: str) -> Any:
    from presidio_analyzer import PatternRecognizer, predefined_recognizers  # noqa: PLC0415 - heavy, only in this worker

    for cls in vars(predefined_recognizers).values():
        if isinstance(cls, type) and issubclass(cls, PatternRecognizer) and cls is not PatternRecognizer:
            recogniser = cls()
            if recogniser.supported_entities == [entity]:
                return recogniser
    raise LookupError(f"no recogniser for {entity}")


def _quieten() -> None:
    logger = logging.getLogger("presidio-analyzer")
    logger.setLevel(logging.CRITICAL)  # its messages quote the text
    logger.propagate = False
