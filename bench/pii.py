"""Precision and recall of the personal-data engine beside Presidio's own recognisers, as a Markdown table.

python bench/pii.py [--generated 2800] [SET.json …]

A set is JSON in the form of presidio-research (github.com/microsoft/presidio-research): a list of
`{"full_text", "spans": [{"entity_type", "start_position", "end_position"}]}`. Generated texts have values by Faker in
37 locales, put into sentences, between sentences full of other numbers; the seed is fixed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from faker import Faker

from gateway.policy.engines import pii

ENTITIES = ("EMAIL_ADDRESS", "CREDIT_CARD", "IBAN_CODE", "US_SSN", "PHONE_NUMBER", "IP_ADDRESS", "URL")
ALIASES = {"DOMAIN_NAME": "URL"}
SCORE = 0.4


class Span(NamedTuple):
    start: int
    end: int
    entity: str


class Case(NamedTuple):
    text: str
    spans: Sequence[Span]


Finder = Callable[[str], Sequence[Span]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", type=Path)
    parser.add_argument("--generated", type=int, default=2800)
    asked = parser.parse_args()
    engine = pii.Engine(pii.prepare({"entities": list(ENTITIES)}))
    finders = {"ours": lambda text: ours(engine, text), "Presidio": stock()}
    for name, cases in {**{p.stem: read(p) for p in asked.sets}, "generated": list(generated(asked.generated))}.items():
        report(name, cases, finders)


def ours(engine: pii.Engine, text: str) -> list[Span]:
    spans = asyncio.run(engine.spans(text, ENTITIES, SCORE))
    return [Span(start, end, entity) for start, end, entity, _ in spans]


def stock() -> Finder:
    """Presidio as it comes, without a model."""
    for name in ("torch", "transformers", "stanza"):
        sys.modules.setdefault(name, None)  # type: ignore[arg-type] # not needed, and slow to import
    import tldextract.tldextract  # noqa: PLC0415 - after models are out of the way
    from presidio_analyzer import AnalyzerEngine  # noqa: PLC0415 - as above
    from presidio_analyzer.nlp_engine import NlpEngineProvider  # noqa: PLC0415 - as above

    tldextract.tldextract.TLD_EXTRACTOR = tldextract.TLDExtract(suffix_list_urls=())  # else it asks the network
    models = [{"lang_code": "en", "model_name": ""}]
    nlp = NlpEngineProvider(nlp_configuration={"nlp_engine_name": "no_op", "models": models}).create_engine()
    analyzer = AnalyzerEngine(nlp_engine=nlp)

    def find(text: str) -> list[Span]:
        found = analyzer.analyze(text, "en", entities=list(ENTITIES), score_threshold=SCORE)
        return [Span(r.start, r.end, r.entity_type) for r in found]

    return find


# Counting…


@dataclass
class Count:
    """Spans by entity. A span counts as found if one of its entity overlaps it."""

    told: Counter[str] = field(default_factory=Counter)
    right: Counter[str] = field(default_factory=Counter)
    there: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    whole: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def add(self, told: Sequence[Span], there: Sequence[Span]) -> None:
        self.told.update(s.entity for s in told)
        self.there.update(s.entity for s in there)
        self.right.update(s.entity for s in told if any(overlap(s, other) for other in there))
        self.found.update(s.entity for s in there if any(overlap(s, other) for other in told))
        self.whole.update(s.entity for s in there if s in told)


def overlap(one: Span, other: Span) -> bool:
    return one.entity == other.entity and one.start < other.end and other.start < one.end


def report(name: str, cases: Sequence[Case], finders: dict[str, Finder]) -> None:
    counts = {who: counted(cases, find) for who, find in finders.items()}
    print(f"\n**{name}**: {len(cases)} texts\n")
    print("| entity | values |" + "".join(f" {who}: precision | recall | whole |" for who in counts))
    print("|---|---|" + "---|---|---|" * len(counts))
    for entity in ENTITIES:
        there = next(iter(counts.values())).there[entity]
        if there:
            print(f"| {entity} | {there} |" + "".join(row(count, entity) for count in counts.values()))
    print(f"\nms a text: {', '.join(f'{who} {1000 * c.seconds / len(cases):.2f}' for who, c in counts.items())}")


def counted(cases: Sequence[Case], find: Finder) -> Count:
    count = Count()
    for case in cases:
        began = time.perf_counter()
        told = find(case.text)
        count.seconds += time.perf_counter() - began
        count.add(told, case.spans)
    return count


def row(count: Count, entity: str) -> str:
    there = count.there[entity]
    precision = count.right[entity] / count.told[entity] if count.told[entity] else 1.0
    return f" {precision:.3f} | {count.found[entity] / there:.3f} | {count.whole[entity] / there:.3f} |"


# Texts…


def read(path: Path) -> list[Case]:
    return [Case(case["full_text"], list(labelled(case))) for case in json.loads(path.read_text("utf-8"))]


def labelled(case: dict[str, Any]) -> Iterator[Span]:
    for span in case["spans"]:
        entity = ALIASES.get(span["entity_type"], span["entity_type"])
        if entity in ENTITIES:
            yield Span(span["start_position"], span["end_position"], entity)


LOCALES = (
    "en_US",
    "en_GB",
    "de_DE",
    "fr_FR",
    "it_IT",
    "es_ES",
    "nl_NL",
    "sv_SE",
    "da_DK",
    "no_NO",
    "fi_FI",
    "pl_PL",
    "pt_BR",
    "pt_PT",
    "en_AU",
    "en_CA",
    "en_IN",
    "en_NZ",
    "en_IE",
    "cs_CZ",
    "hu_HU",
    "ro_RO",
    "tr_TR",
    "de_AT",
    "de_CH",
    "fr_CH",
    "ja_JP",
    "ko_KR",
    "zh_CN",
    "es_MX",
    "he_IL",
    "el_GR",
    "ru_RU",
    "uk_UA",
    "hr_HR",
    "sk_SK",
    "bg_BG",
)
BANKS = ["en_GB", "de_DE", "fr_FR", "it_IT", "es_ES", "nl_NL"]
SENTENCES = {
    "PHONE_NUMBER": (
        "My phone number is {}|Call me at {} tomorrow.|You can reach him on {}, any time after 5.|Tel: {}|Phone: {}"
        "|mobile {}|Fax {} (office)|{} is my cell|Contact us: {}|Text {} to confirm|our hotline {} is open"
        '|Please call {}.| - phone: {}\n- name: Joe|"phone": "{}"|How can I reach you? {}|number: {}'
    ),
    "CREDIT_CARD": (
        "My card number is {}|Charge it to {} please|card: {}|{} expires 12/26|Visa {} cvv 123|I paid with {}.|cc={}"
        '|"card": "{}"|use {} for the payment|please block {}, it was stolen'
    ),
    "IBAN_CODE": (
        'IBAN: {}|Send it to {} today.|my account {} at the bank|iban {}|Transfer 200 EUR to {}, thanks|{}|"iban": "{}"'
    ),
    "US_SSN": (
        'SSN: {}|my social security number is {}|ssn {}.|{} is her social|"ssn": "{}"|Social: {}, born 1980'
        "|I was asked for {}"
    ),
    "IP_ADDRESS": (
        "The server {} is down|ip={}|Connection from {} refused|ping {}.|hosts: {}, and others|[{}] error"
        "|blocked {} at the firewall"
    ),
    "EMAIL_ADDRESS": 'mail me at {}|Email: {}|<{}>|contact {}, or|{}|"email": "{}"|{} and others|mailto:{}|({})',
    "URL": 'see {}|visit {} for more|({})|link: {}|{}|Website: {}.|"url": "{}"|Check out {}, it is great|[here]({})',
}
OTHERS = """\
Order 4583920 shipped on 2023-11-05 at 14:30:22.
Invoice #INV-2023-00123 total $1,234.56
The population was 331 449 281 in 2020.
Coordinates 52.520008, 13.404954
ISBN 978-3-16-148410-0
It cost 1.234.567,89 EUR
Part number 12-3456-789
Ticket 20231105123456
UUID 550e8400-e29b-41d4-a716-446655440000
commit 9fceb02d0ae598e95dc970b74767f19372d61af8
In 1990-1995 sales grew 12.5%
timestamp 1699190400
MAC 00:1B:44:11:3A:B7
file.py and main.rs use foo.bar(1234567)
2^10 = 1024 and 2**20 = 1048576
account number 12345678
std::vector<int> a::b
10/12/2023 11:12:13
the years 2021 2022 2023
Python 3.12.0.1, Chrome/119.0.0.0, section 4.2.1.3
zip 94105-1234, RFC 7231, CVE-2021-44228
contact 25 people about 300 items
reach 100000 users by 2025-12-31
12345-67890-12345
a 5 x 10 grid of 1,000,000,000 points""".splitlines()


def generated(size: int) -> Iterator[Case]:
    chance = random.Random(0)
    values = Values(chance)
    for n in range(size):
        entity = ENTITIES[n % len(ENTITIES)]
        value = values.of(entity)
        before = chance.choice(["", "", f"Hello, {values.us.first_name()}. ", chance.choice(OTHERS) + " "])
        head, _, tail = chance.choice(SENTENCES[entity].split("|")).partition("{}")
        start = len(before + head)
        after = chance.choice(["", "", " " + chance.choice(OTHERS)])
        yield Case(before + head + value + tail + after, [Span(start, start + len(value), entity)])
    yield from (Case(text, []) for text in OTHERS)


class Values:
    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.fakers = {locale: Faker(locale) for locale in LOCALES}
        self.us = self.fakers["en_US"]
        for faker in self.fakers.values():
            faker.seed_instance(chance.random())

    def of(self, entity: str) -> str:
        us, pick = self.us, self.chance.choice
        makers: dict[str, Callable[[], object]] = {
            "EMAIL_ADDRESS": pick([us.email, us.company_email, self.fakers["de_DE"].email, self.fakers["fr_FR"].email]),
            "CREDIT_CARD": lambda: self.spaced(us.credit_card_number(), "- "),
            "IBAN_CODE": lambda: self.spaced(self.fakers[pick(BANKS)].iban(), " "),
            "US_SSN": us.ssn,
            "PHONE_NUMBER": self.fakers[pick(LOCALES)].phone_number,
            "IP_ADDRESS": pick([us.ipv4, us.ipv4_private, us.ipv6]),
            "URL": pick([us.url, us.uri, lambda: f"www.{us.domain_name()}", lambda: f"{us.url()}a?b=1&c=%20x#top"]),
        }
        return str(makers[entity]())

    def spaced(self, number: str, gaps: str) -> str:
        gap = self.chance.choice(["", "", *gaps])
        return gap.join(number[i : i + 4] for i in range(0, len(number), 4)) if gap else number


if __name__ == "__main__":
    main()
