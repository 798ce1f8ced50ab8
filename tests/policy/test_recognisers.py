from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.engines import pii
from gateway.policy.engines import recognisers as r
from gateway.policy.engines.pii import Engine, Kind
from gateway.policy.engines.recognisers import Span
from gateway.policy.signs import Signs

WANTED = ("EMAIL_ADDRESS", "CREDIT_CARD", "IBAN_CODE", "US_SSN", "PHONE_NUMBER", "IP_ADDRESS", "URL")
ENGINE = Engine(pii.prepare({"entities": list(WANTED)}))


def found(text: str, *, engine: Engine = ENGINE, score: float = 0.4) -> list[tuple[str, str]]:
    spans = asyncio.run(engine.spans(text, WANTED, score))
    return [(entity, text[start:end]) for start, end, entity, _ in spans]


@pytest.mark.parametrize(
    ("entity", "text", "value"),
    [
        ("EMAIL_ADDRESS", "write to first.last+tag@sub.example.co.uk, please", "first.last+tag@sub.example.co.uk"),
        ("EMAIL_ADDRESS", "<o'neil@example.com>", "o'neil@example.com"),
        ("EMAIL_ADDRESS", "josé@münchen.de", "josé@münchen.de"),
        ("EMAIL_ADDRESS", "mailto:a@xn--bcher-kva.xn--p1ai", "a@xn--bcher-kva.xn--p1ai"),
        ("CREDIT_CARD", "4111 1111 1111 1111", "4111 1111 1111 1111"),
        ("CREDIT_CARD", "pay with 4111111111111111 today", "4111111111111111"),
        ("CREDIT_CARD", "5555-5555-5555-4444", "5555-5555-5555-4444"),
        ("CREDIT_CARD", "amex 3782 822463 10005", "3782 822463 10005"),
        ("CREDIT_CARD", "diners 30569309025904", "30569309025904"),
        ("CREDIT_CARD", "card: 4111 1111 1111 1112 (mistyped)", "4111 1111 1111 1112"),
        ("CREDIT_CARD", "4111 1111 1111 1111 exp 12/27 cvv 123", "4111 1111 1111 1111"),
        ("IBAN_CODE", "DE89370400440532013000", "DE89370400440532013000"),
        ("IBAN_CODE", "to GB82 WEST 1234 5698 7654 32 by Friday", "GB82 WEST 1234 5698 7654 32"),
        ("IBAN_CODE", "gb82west12345698765432", "gb82west12345698765432"),
        ("IBAN_CODE", "DE89370400440532013000 2 days", "DE89370400440532013000"),
        ("US_SSN", "536-90-4399", "536-90-4399"),
        ("US_SSN", "my ssn is 536904399.", "536904399"),
        ("US_SSN", "Social Security: 536 90 4399", "536 90 4399"),
        ("PHONE_NUMBER", "(415) 555-0134", "(415) 555-0134"),
        ("PHONE_NUMBER", "415.555.0134 x22", "415.555.0134 x22"),
        ("PHONE_NUMBER", "+44 (0)20 7946 0958", "+44 (0)20 7946 0958"),
        ("PHONE_NUMBER", "+4915123456789", "+4915123456789"),
        ("PHONE_NUMBER", "0431 19 97 94", "0431 19 97 94"),
        ("PHONE_NUMBER", "please call 5550134", "5550134"),
        ("PHONE_NUMBER", "Tel:555-0134", "555-0134"),
        ("PHONE_NUMBER", "785 8949 is my office", "785 8949"),
        ("IP_ADDRESS", "from 192.168.10.200:", "192.168.10.200"),
        ("IP_ADDRESS", "host 2001:db8:85a3::8a2e:370:7334 down", "2001:db8:85a3::8a2e:370:7334"),
        ("IP_ADDRESS", "[fe80::1ff:fe23:4567:890a%eth2]", "fe80::1ff:fe23:4567:890a%eth2"),
        ("IP_ADDRESS", "::ffff:10.0.0.1", "::ffff:10.0.0.1"),
        ("URL", "see https://example.com/a?b=c#d.", "https://example.com/a?b=c#d"),
        ("URL", "(www.example.org)", "www.example.org"),
        ("URL", "[docs](https://example.com/x_(y))", "https://example.com/x_(y)"),
        ("URL", "at example.co.uk/path today", "example.co.uk/path"),
    ],
)
def test_what_is_personal_is_found_whole(entity: str, text: str, value: str) -> None:
    assert found(text) == [(entity, value)]


@pytest.mark.parametrize(
    "text",
    [
        "Order 4583920 of 2023-11-05 at 14:30:22 for $1,234.56",
        "12/31/2024, 31.12.2024, 1990-1995, the years 2021 2022 2023",
        "version 10.15.7.1, Chrome/119.0.0.0, section 4.2.1.3",
        "std::vector<int> a::b and x[1::2]",
        "ISBN 978-3-16-148410-0 and part number 12-3456-789",
        "UUID 550e8400-e29b-41d4-a716-446655440000, commit 9fceb02d0ae598e95dc970b74767f19372d61af8",
        "the function foo(1234567) has 1048576 rows and 331 449 281 people",
        "file.py, main.rs and README.md; node.js too, e.g. this",
        "000-12-3456, 666-12-3456, 123-00-4567, 123-45-0000",
        "1234 5678 9012 3456 is no card, nor is 0000 0000 0000 0000",
        "@mention, user@, user@host, a@b.1",
        "call a taxi to 58 2347 Main Street",
        "zip 94105-1234, -122.4194155, 3.14159265358979",
        "+ 1 - 2 = 3 * 4 / 5",
    ],
)
def test_other_numbers_and_names_are_left_alone(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(
    ("text", "raw"),
    [
        ("bo\u200bb@exam\u200dple.com", "bo\u200bb@exam\u200dple.com"),
        ("\uff14\uff11\uff11\uff11 1111 1111 1111", "\uff14\uff11\uff11\uff11 1111 1111 1111"),
        ("b&#111;b@example.com", "b&#111;b@example.com"),
    ],
)
def test_disguised_values_are_found_where_they_stand(text: str, raw: str) -> None:
    assert [value for _, value in found(f"it is {text} now")] == [raw]


def test_a_value_in_base64_is_found_in_its_run() -> None:
    text = "see bXkgbWFpbCBpcyBib2JAZXhhbXBsZS5jb20gb2s="
    ((entity, value),) = found(text)
    assert entity == "EMAIL_ADDRESS"
    assert value in text.split()[1]


def test_several_values_are_found_in_order_and_apart() -> None:
    text = "415-555-0134 415-555-0199, a@b.co;c@d.co 4111111111111111 http://10.0.0.1/x?m=e@f.co"
    assert [value for _, value in found(text)] == [
        "415-555-0134",
        "415-555-0199",
        "a@b.co",
        "c@d.co",
        "4111111111111111",
        "http://10.0.0.1/x?m=e@f.co",
    ]


def test_the_score_decides_what_is_told() -> None:
    text = "192.168.10.200 and 415-555-0134 and a@b.co"
    assert [e for e, _ in found(text, score=0.9)] == ["EMAIL_ADDRESS"]
    assert [e for e, _ in found(text, score=0.6)] == ["PHONE_NUMBER", "EMAIL_ADDRESS"]
    assert [e for e, _ in found(text, score=0.5)] == ["IP_ADDRESS", "PHONE_NUMBER", "EMAIL_ADDRESS"]


SCRAPS = (
    "a@b.co",
    "4111 1111 1111 1111",
    "GB82WEST12345698765432",
    "415-555-0134",
    "10.0.0.1",
    "call ",
    "ext. ",
    "x41",
    "https://",
    "WWW.",
    "example.com",
    ".co.uk",
    "DE89 3704 0440 0532 0130 00",
    "::fe80",
    "\u017f",
    "\u0663",
    "ssn ",
    " ",
    "\n",
)
texts = st.lists(
    st.one_of(st.sampled_from(SCRAPS), st.text("0123456789+-()./:@ abx\u00e9\ud800", max_size=12)), max_size=30
).map("".join)


@given(texts)
def test_spans_are_in_order_within_the_text_and_do_not_overlap(text: str) -> None:
    spans = asyncio.run(ENGINE.spans(text, WANTED, 0.0))
    assert all(0 <= start < end <= len(text) and 0 < score <= 1 for start, end, _, score in spans)
    assert all(a[1] <= b[0] for a, b in pairwise(spans))


Heads = Callable[[str], Iterable[int]]
HEADED: list[tuple[re.Pattern[str], Heads]] = [
    (r._EMAIL, r._locals),
    (r._DIGITS, lambda text: r._in_rows(r._DIGITS_HEAD, r._DIGITS_ROWS, text)),
    (r._IBAN, r._countries),
    (r._SSN, lambda text: r._in_rows(r._SSN_HEAD, r._SSN_ROWS, text)),
    (r._NORTH_AMERICAN, lambda text: r._in_rows(r._NORTH_AMERICAN_HEAD, r._NORTH_AMERICAN_ROWS, text)),
    (r._URL, r._schemes),
    (r._HOST, r._hosts),
    (r._IP, r._machines),
]


@pytest.mark.parametrize(("pattern", "heads"), HEADED)
@given(text=texts)
def test_looking_only_where_a_match_may_begin_finds_them_all(pattern: re.Pattern[str], heads: Heads, text: str) -> None:
    assert [m.span() for m in r._headed(pattern, heads(text), text)] == [m.span() for m in pattern.finditer(text)]


@given(texts, st.sets(st.sampled_from(WANTED), min_size=1))
def test_a_text_in_which_something_is_found_shows_a_sign_of_it(text: str, wanted: set[str]) -> None:
    signs = Signs.of(wanted)
    assert signs is not None
    if asyncio.run(ENGINE.spans(text, sorted(wanted), 0.0)):
        assert signs.stand_in(text) or any(signs.stand_in(view.text) for view in ENGINE.normaliser.views(text))


def test_entities_without_known_signs_are_always_asked_about() -> None:
    assert Signs.of(["EMAIL_ADDRESS", "US_PASSPORT"]) is None


@pytest.mark.parametrize("text", ["Ring me at noon.", "In 2024, on page 12.", "It is 20:30 now; see 4.2.", "a-b (c)"])
def test_plain_prose_shows_no_sign(text: str) -> None:
    signs = Signs.of(["EMAIL_ADDRESS", "CREDIT_CARD", "US_SSN", "PHONE_NUMBER", "IBAN_CODE"])
    assert signs is not None
    assert not signs.stand_in(text)


@given(texts, st.integers(min_value=1, max_value=200))
def test_what_is_found_does_not_depend_on_the_window(text: str, window: int) -> None:
    small = Engine(ENGINE.kinds, window)
    assert asyncio.run(small.spans(text, WANTED, 0.4)) == asyncio.run(ENGINE.spans(text, WANTED, 0.4))


@pytest.mark.parametrize(
    "unit",
    ["1 ", "a.", "a@", "a@b.", "4111 ", "1.", ":", "(555)", "GB12 ", "x@y.co ", "www.", "::1 ", "+1 ", "é", "\ud800"],
)
def test_twice_the_text_takes_about_twice_the_time(unit: str) -> None:
    def seconds(size: int) -> float:
        text = (unit * size)[:size]
        began = time.perf_counter()
        asyncio.run(ENGINE.spans(text, WANTED, 0.4))
        return time.perf_counter() - began

    small = min(seconds(10_000) for _ in range(3))
    assert seconds(40_000) < 10 * small + 0.5


def test_a_word_speaks_for_what_follows_it_and_not_for_what_is_further_on() -> None:
    kind = Kind(
        lambda text: (Span(*m.span(), 0.05) for m in re.finditer(r"\d{7}", text)), re.compile("phone"), None, None
    )
    scores = [span.score for span in kind.spans("phone 5550134 or 5550135, while the order 5550136 is late")]
    assert scores == [0.4, 0.4, 0.05]
