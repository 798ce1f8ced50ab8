"""Presidio in a worker, without a model: checksums and shapes, words nearby, and one span where several overlap.

Its analyzer engine is not used: it would skip a pattern that takes too long, and its phone, e-mail and URL patterns
take more than linear time. Its recognisers are, each by itself.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import sys
from bisect import bisect_left
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from gateway.errors import WorkerFault
from gateway.policy.engines import recognisers
from gateway.policy.engines.recognisers import Recogniser, Span
from gateway.policy.entities import ENTITIES
from gateway.policy.normalise.view import Normaliser

Json = Any

_OWN: dict[str, Recogniser] = {
    "CREDIT_CARD": recognisers.cards,
    "EMAIL_ADDRESS": recognisers.emails,
    "IBAN_CODE": recognisers.ibans,
    "IP_ADDRESS": recognisers.addresses,
    "PHONE_NUMBER": recognisers.phones,
    "URL": recognisers.urls,
    "US_SSN": recognisers.ssns,
}

_BEFORE, _AFTER = 60, 16  # characters in which a word may speak for a match
_BOOST, _FLOOR = 0.35, 0.4  # what it adds, and the least that comes of it: as Presidio's own enhancer has it
_LONGEST = 3000  # no match is longer, URLs included

# Words that make a weak match likely, where Presidio's own would fire on too much ("us", "states", "number").
_WORDS: dict[str, str] = {
    "CREDIT_CARD": r"cards?|credit|debit|visa|mastercard|amex|american express|maestro|discover|diners|jcb|cc|pan",
    "IBAN_CODE": r"iban|bank|account|konto|transfer",
    "IP_ADDRESS": r"ip|ipv4|ipv6|address|host|server|subnet|ping",
    "PHONE_NUMBER": (
        r"(?:tele|cell|smart)?phones?|tel|telefono?|cells?|cellular|mobiles?|call(?:s|ed|ing)?(?! (?:an?|the|for|it)\b)"
        r"|fax|contact|reach|dial|ring|whatsapp|sms|text(?:ed)?|hotline|helpline|voicemail|answer(?:s|ing)?"
        r"|(?:my|your|his|her|our|their) (?:new )?number|numbers?(?=[ :=]{1,3}(?:is |was )?[+(\"]{0,2}$)"
    ),
    "US_BANK_NUMBER": r"bank|accounts?|acct|acc|checking|savings|debit",
    "US_DRIVER_LICENSE": r"driver'?s?|driving|licen[cs]es?|permit|dl|dmv",
    "US_ITIN": r"itin|taxpayer|tax|individual",
    "US_PASSPORT": r"passports?",
    "US_SSN": r"ssn?s?|social|security",
}
_FOLLOWING = {"PHONE_NUMBER": r"office|fax|mobile|home|work|cell|phone"}

# What, right before a match that is not sure, says that it is something else.
_AGAINST: dict[str, str] = {
    "IP_ADDRESS": (
        r"(?:[a-z]/|(?<!\w)(?:versions?|ver|v|release|build|sections?|chapter|clause|rev|firmware|kernel|python|java"
        r"|chrome|windows|android|ios|macos)[. ]{0,2})$"
    ),
    "PHONE_NUMBER": (
        r"(?:(?<!\w)(?:order|account|acct|invoice|ticket|part|serial|tracking|timestamp|prices?|isbn|ids?|ref(?:erence)?"
        r"|case|claim|licen[cs]e|passport|card|ssn|iban|customer|member|population|rows?|numbers? of(?: \w+)?|zip"
        r"|version|model|item|sku|total|amount|code|pin|year|users?)"
        r"(?: (?:number|no|num|id|code))?[ .#:=]{0,3}(?:is|was|are|were)?[ .#:=]{0,3}|\w\(|\d ?= ?)$"
    ),
}


# A word speaks for the number after it, and for others in a row with that one; not for one further on.
_ELSEWHERE = re.compile(
    r"\d{5}(?!\d)(?![\s,;/|&\"']{0,4}(?:or|and|office|fax|mobile|home|work|cell)?[\s,;:/|&\"'\-\\]{0,4}$)"
    r"|\d{4}\D+[a-z]{5}.{0,60}$"
)


def prepare(spec: Json) -> dict[str, Kind]:
    """What finds each of `{"entities": [...]}`; names are those of `ENTITIES`."""
    os.environ["REGEX_TIMEOUT_SECONDS"] = "3600"  # Presidio skips a pattern that times out; we would rather be killed
    _quieten()
    with _without_models():
        return {entity: _kind(entity) for entity in sorted(set(spec["entities"]) & set(ENTITIES))}


@asynccontextmanager
async def open(spec: Json, prepared: dict[str, Kind]) -> AsyncIterator[Engine]:  # noqa: A001, ARG001 - the harness's words
    yield Engine(prepared)


@dataclass(frozen=True, slots=True)
class Kind:
    """How one entity is found, and the words that speak for it, before and after, and against it."""

    recogniser: Recogniser
    before: re.Pattern[str] | None
    after: re.Pattern[str] | None
    against: re.Pattern[str] | None

    def spans(self, text: str) -> Iterator[Span]:
        for span in self.recogniser(text):
            before = text[max(0, span.start - _BEFORE) : span.start]
            if span.score >= recognisers.LIKELY or not (self.against and self.against.search(before)):
                yield Span(span.start, span.end, self._boosted(span, before, text[span.end : span.end + _AFTER]))

    def _boosted(self, span: Span, before: str, after: str) -> float:
        if span.score >= recognisers.SURE or not self._spoken_for(before, after):
            return span.score
        return min(1.0, max(span.score + _BOOST, _FLOOR))

    def _spoken_for(self, before: str, after: str) -> bool:
        if self.after and self.after.match(after):
            return True
        words = list(self.before.finditer(before)) if self.before else []
        return bool(words) and not _ELSEWHERE.search(before, words[-1].end())


@dataclass(frozen=True, slots=True)
class Engine:
    """Looks at a long text `window` characters at a time, each with what a match that begins in it may need around."""

    kinds: dict[str, Kind]
    window: int = 16_000
    normaliser: Normaliser = field(default_factory=Normaliser)

    async def call(self, method: str, payload: Json) -> Json:
        """`inspect` takes `{"entities", "score", "texts"}`, gives `{"spans": [[[start, end, entity, score], …], …]}`.

        Offsets are code points of the text as it stands; its spans are in order and do not overlap. A text is looked
        at as it stands, folded, and in each of its decoded runs.
        """
        if method != "inspect":
            raise WorkerFault(f"pii: no method {method!r}")
        entities, score = payload["entities"], payload["score"]
        pace = _Pace(self.window)
        return {"spans": [await self.spans(text, entities, score, pace) for text in payload["texts"]]}

    async def spans(
        self, text: str, entities: Sequence[str], score: float, pace: _Pace | None = None
    ) -> list[list[Any]]:
        pace = pace or _Pace(self.window)
        found = await self._found(text, entities, score, pace)
        for view in self.normaliser.views(text):
            if seen := await self._found(view.text, entities, score, pace):
                raw = view.spans()
                mapped = ((Span(raw[s.start][0], raw[s.end - 1][1], s.score), entity) for s, entity in seen)
                found += [(s, entity) for s, entity in mapped if s.end >= view.least]
        return [[s.start, s.end, entity, round(s.score, 2)] for s, entity in _disjoint(found)]

    async def _found(self, text: str, entities: Sequence[str], score: float, pace: _Pace) -> list[tuple[Span, str]]:
        found: list[tuple[Span, str]] = []
        for begin in range(0, len(text), self.window):
            for entity in entities:
                found += ((s, entity) for s in self._within(text, begin, self.kinds[entity]) if s.score >= score)
            await pace.went(min(self.window, len(text) - begin))
        return found

    def _within(self, text: str, begin: int, kind: Kind) -> Iterator[Span]:
        lead = max(0, begin - _BEFORE - 1)
        for span in kind.spans(text[lead : begin + self.window + _LONGEST]):
            if begin <= lead + span.start < begin + self.window:
                yield Span(lead + span.start, lead + span.end, span.score)


@dataclass(slots=True)
class _Pace:
    """Other callers' texts, and the harness's own business, have their turn every `window` characters."""

    window: int
    gone: int = 0

    async def went(self, characters: int) -> None:
        self.gone += characters + 100  # a text of none has its cost, too
        if self.gone >= self.window:
            self.gone = 0
            await asyncio.sleep(0)


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
        return Kind(_OWN[entity], *_words(entity, ""))
    recogniser = _presidio(entity)
    context = "|".join(re.escape(word.strip()) for word in recogniser.context or ())
    return Kind(lambda text: _found(recogniser, entity, text), *_words(entity, context))


def _words(entity: str, context: str) -> tuple[re.Pattern[str] | None, ...]:
    before, after, against = _WORDS.get(entity, context), _FOLLOWING.get(entity), _AGAINST.get(entity)
    return (
        re.compile(rf"(?<![^\W_])(?:{before})(?![^\W_])", re.IGNORECASE) if before else None,
        re.compile(rf"[\W_]{{0,3}}(?:(?:is|was) )?(?:my |his |her |our |the )?(?:{after})(?!\w)", re.IGNORECASE)
        if after
        else None,
        re.compile(against, re.IGNORECASE) if against else None,
    )


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


@contextmanager
def _without_models() -> Iterator[None]:
    """Presidio imports torch and its friends where they are installed, for engines that are not used here."""
    absent = {"torch", "transformers", "stanza", "gliner"} - set(sys.modules)
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type] # None is how the import system says "not there"
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


def _quieten() -> None:
    logger = logging.getLogger("presidio-analyzer")
    logger.setLevel(logging.CRITICAL)  # its messages quote the text
    logger.propagate = False
