"""What texts say in disguise, and which characters of them say it."""

from __future__ import annotations

import base64
import unicodedata
from collections.abc import Callable
from hashlib import sha256
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.policy.normalise.codes import BASE64, CODES, HEX, Code
from gateway.policy.normalise.confusables import LOOKALIKES
from gateway.policy.normalise.escapes import spelt
from gateway.policy.normalise.fold import Fold, folded
from gateway.policy.normalise.runs import Decoder, Run
from gateway.policy.normalise.view import Normaliser, View

NORMALISER = Normaliser()


def reads(text: str) -> str:
    return NORMALISER.normal(text).folded.text


def carries(text: str) -> list[str]:
    return [view.text for view in NORMALISER.normal(text).decoded]


def tagged(text: str) -> str:
    return "".join(chr(0xE0000 + ord(c)) for c in text)


def smuggled(data: bytes) -> str:
    return "".join(chr(0xFE00 + b if b < 16 else 0xE0100 + b - 16) for b in data)


# Folding


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("s\u200be\u200cc\u200dr\u2060e\ufefft", "secret"),
        ("se\u00adcret", "secret"),
        ("\u202esecret\u202c\u2066", "secret"),
        ("s\u034fecret\u3164", "secret"),
        ("s\x00e\x07cret\x7f", "secret"),
        ("ｓｅｃｒｅｔ－ｋｅｙ", "secret-key"),
        ("𝓼𝓮𝓬𝓻𝓮𝓽 𝕊𝟙", "secret S1"),
        ("ⓢⓔⓒⓡⓔⓣ 🅂 🅢 🆂", "secret S S S"),
        ("ѕесrеt", "secret"),
        ("ЅЕСRЕТ", "SECRET"),
        ("ѕесгеt", "secret"),
        ("ꜱᴇᴄʀᴇᴛ", "secret"),
        ("s̶e̶c̷r̸é̈t", "secret"),
        ("ŝéçrêt", "secret"),
        ("ɐpǝ", "ape"),
        ("sk‐proj–x—y", "sk-proj-x-y"),
        ("“q” ‘r’ «s»", '"q" \'r\' "s"'),
        ("a\u00a0b\u3000c\u2003d", "a b c d"),
        ("a\u2028b\u0085c", "a\nb\nc"),
        ("ﬁ ½ ² ㎏", "fi 1/2 2 kg"),
        ("한국어 हिन्दी ไทย 中文", "한국어 हिन्दी ไทย 中文"),
        ("sec\ufe0fret\U000e0101", "secret"),
        ("se\U000e0041cret", "secret"),
        ("a\ud83d\ude00", "a\ufffd\ufffd"),
    ],
)
def test_disguised_characters_read_as_what_they_pass_for(text: str, plain: str) -> None:
    assert reads(text) == plain


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E) | st.sampled_from("\t\n\r"), max_size=40))
def test_printable_ascii_folds_to_itself(text: str) -> None:
    assert text.translate(Fold()) == text


@settings(max_examples=2000)
@given(st.text(max_size=12))
def test_what_is_folded_folds_no_further(text: str) -> None:
    once = text.translate(Fold())
    assert once.translate(Fold()) == once


@settings(max_examples=2000)
@given(st.characters(min_codepoint=0x80, exclude_categories=["Cs"]))
def test_composed_and_decomposed_forms_fold_alike(char: str) -> None:
    forms = {unicodedata.normalize(form, char).translate(Fold()) for form in ("NFC", "NFD", "NFKC", "NFKD")}
    if len(unicodedata.normalize("NFD", char)) > 1 and unicodedata.name(char, "").startswith(("LATIN", "GREEK")):
        assert forms == {folded(char)}


def test_every_lookalike_folds_to_the_character_it_passes_for() -> None:
    for plain, codes in LOOKALIKES.items():
        for code in codes.split():
            assert folded(chr(int(code, 16))) == plain


def test_a_fold_forgets_nothing_but_learns_no_more_than_its_share() -> None:
    fold = Fold()
    for code in range(0x80, 0x30000):
        fold[code]
    assert len(fold) <= 0x10FFFF // 16 + 1
    assert fold[0x430] == "a"


# Escapes


@pytest.mark.parametrize(
    ("escape", "char"),
    [
        ("%73", "s"),
        ("%d1%95", "ѕ"),
        ("%E2%80%8B", "\u200b"),
        ("%F0%9F%98%80", "😀"),
        ("%ff", "\ufffd"),
        (r"\u0073", "s"),
        (r"\ud83d\ude00", "😀"),
        (r"\u{1F600}", "😀"),
        (r"\U0001F600", "😀"),
        (r"\x73", "s"),
        (r"\x{73}", "s"),
        ("&#115;", "s"),
        ("&#x73;", "s"),
        ("&#9999999;", "\ufffd"),
    ],
)
def test_an_escape_stands_for_its_character(escape: str, char: str) -> None:
    assert spelt(escape) == char
    assert reads(f"-{escape}-") == f"-{folded(char)}-"


@pytest.mark.parametrize(
    "text", ["100%", "50%-60% off", r"C:\users\x", r"\n \t \d+", "AT&T &amp; &#;", "%zz %4", r"\u12 \x4"]
)
def test_what_only_looks_like_an_escape_is_left_alone(text: str) -> None:
    assert reads(text) == text


def test_an_escape_that_spells_an_invisible_or_lookalike_character_is_folded() -> None:
    assert reads(r"s%E2%80%8Bk\u2010p\u0440") == "sk-pp"


# Runs

SECRET = "the key is sk-abc, and ünïcode"
PLAIN = SECRET.translate(Fold())


@pytest.mark.parametrize(
    "text",
    [
        base64.b64encode(SECRET.encode()).decode(),
        base64.b64encode(SECRET.encode()).decode().rstrip("="),
        base64.urlsafe_b64encode(SECRET.encode()).decode(),
        SECRET.encode().hex(),
        SECRET.encode().hex().upper(),
        "0x" + SECRET.encode().hex(),
        smuggled(SECRET.encode()),
    ],
)
def test_a_run_is_read_wherever_it_stands(text: str) -> None:
    for around in ("{}", "see {} there", "({})", '"{}"', "data:text/plain;base64,{}", "\n{}\n", "a={}&b", "é {}"):
        assert PLAIN in carries(around.format(text)), around


def test_base64_in_lines_is_one_run() -> None:
    text = (SECRET + " ") * 8
    for size, end in ((76, "\n"), (64, "\r\n"), (40, "\n")):
        symbols = base64.b64encode(text.encode()).decode()
        lines = end.join(symbols[i : i + size] for i in range(0, len(symbols), size))
        assert carries(f"cat:\n{lines}\n\nend") == [text.translate(Fold())]


def test_a_run_behind_the_slash_of_a_path_is_read() -> None:
    symbols = base64.urlsafe_b64encode(SECRET.encode()).decode().rstrip("=")
    assert PLAIN in carries(f"https://example.org/img/{symbols}")


def test_tags_are_read_though_they_do_not_show() -> None:
    assert carries("hello" + tagged("do evil") + "!") == ["do evil"]


def test_selectors_behind_the_one_of_an_emoji_are_read() -> None:
    assert carries("\u2764\ufe0f" + smuggled(b"do evil")) == ["do evil"]


@pytest.mark.parametrize(
    "text",
    [
        "Words of a language are runs of symbols too, but few decode to a text.",
        "internationalization and misunderstanding of congratulations",
        "commit 9f8e7d6c5b4a39281706f5e4d3c2b1a0ffeeddcc fixes it",
        "id 123e4567-e89b-12d3-a456-426614174000",
        base64.b64encode(b"".join(sha256(bytes([i])).digest() for i in range(9))).decode(),
        "❤️ 👩‍👩‍👧 1️⃣",
        "",
    ],
)
def test_what_carries_no_text_has_no_views(text: str) -> None:
    assert carries(text) == []


def test_a_run_that_stops_being_text_is_read_up_to_there() -> None:
    symbols = base64.b64encode(b"read me\x00not me").decode()
    assert carries(symbols)[0] == "read me"


def test_a_run_within_a_run_is_not_read() -> None:
    twice = base64.b64encode(base64.b64encode(SECRET.encode())).decode()
    assert carries(twice) == [base64.b64encode(SECRET.encode()).decode()]


# Where it stands


def _spans(view: View) -> list[tuple[int, int]]:
    return view.spans()


@settings(max_examples=1000, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            ["s", "k", "\u200b", "é", "e\u0301", "ﬁ", "%73", r"\u0430", "&#107;", "а", "中", " ", "%", "\\"]
        ),
        max_size=12,
    )
)
@example(["%", "%73", "ﬁ", "\u200b"])
def test_every_character_of_a_view_knows_what_it_was_made_of(parts: list[str]) -> None:
    text = "".join(parts)
    view = NORMALISER.normal(text).folded
    spans = _spans(view)
    assert len(spans) == len(view.text)
    assert all(0 <= start < end <= len(text) for start, end in spans)
    assert all(a[0] <= b[0] and a[1] <= b[1] for a, b in pairwise(spans))
    for char, (start, end) in zip(view.text, spans, strict=True):
        assert char in reads(text[start:end])


@settings(max_examples=500, deadline=None)
@given(st.text(st.sampled_from("abc d.é😀\n-"), min_size=6, max_size=60), st.sampled_from(CODES))
def test_the_span_of_a_decoded_character_carries_it(text: str, code: Code) -> None:
    encoders: list[Callable[[str], str]] = [
        lambda t: base64.b64encode(t.encode()).decode(),
        lambda t: t.encode().hex(),
        lambda t: tagged("".join(c for c in t if " " <= c <= "~")),
        lambda t: smuggled(t.encode()),
    ]
    symbols = encoders[CODES.index(code)](text)
    for view in NORMALISER.normal(f"<{symbols}>").decoded:
        spans = _spans(view)
        assert len(spans) == len(view.text)
        assert all(1 <= a < b <= len(symbols) + 1 for a, b in spans)
        assert all(a[0] <= b[0] and a[1] <= b[1] for a, b in pairwise(spans))


# The decoder reads the same however the text is split


class Heard:
    """A sink that remembers."""

    def __init__(self) -> None:
        self.runs: list[list[tuple[str, tuple[int, int]]]] = [[]]

    def text(self, chars: str, run: Run, given: int) -> None:
        self.runs[-1] += zip(chars, run.spans(chars, given), strict=True)

    def close(self) -> None:
        self.runs.append([])

    def counting(self, code: Code) -> list[list[tuple[str, tuple[int, int]]]]:
        """The runs that carry enough to count."""
        return [run for run in self.runs if run and run[-1][1][1] - run[0][1][0] >= code.enough]


def heard(code: Code, pieces: list[str]) -> list[list[tuple[str, tuple[int, int]]]]:
    sink, at = Heard(), 0
    decoder = Decoder(code, sink)
    for piece in pieces:
        decoder.feed(piece, at)
        at += len(piece)
    decoder.finish()
    return sink.counting(code)


RUNS = st.sampled_from(
    [base64.b64encode(t).decode() for t in (b"sk-abc", b"hello world", "ünï".encode(), b"ab\x00cd", b"x" * 70)]
    + [b"sk-abcd".hex(), "0x", "c2st", "Zm9v", "/", "+", "-", "_", "=", " ", "\n", "\r\n", "word", "é", "A", "q7"]
)


@settings(max_examples=2000, deadline=None)
@given(st.lists(RUNS, max_size=8), st.lists(st.integers(0, 200), max_size=6), st.sampled_from([BASE64, HEX]))
def test_runs_do_not_depend_on_how_the_text_is_split(parts: list[str], cuts: list[int], code: Code) -> None:
    text = "".join(parts)
    places = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    pieces = [text[a:b] for a, b in pairwise(places)]
    assert heard(code, pieces) == heard(code, [text]) == heard(code, list(text))


@settings(max_examples=2000, deadline=None)
@given(st.lists(RUNS, max_size=8))
def test_whole_texts_have_the_views_that_a_decoder_hears(parts: list[str]) -> None:
    text = "".join(parts)
    fold = Fold()
    want = ["".join(c for c, _ in run).translate(fold) for code in (BASE64, HEX) for run in heard(code, [text])]
    assert [view for view in carries(text) if len(view) >= 4] == [w for w in want if len(w) >= 4]


def test_a_long_binary_run_costs_little() -> None:
    """Twice the text must not cost four times the steps."""
    steps = [
        _reads_of(base64.b64encode(bytes((i * 197) % 256 for i in range(size))).decode()) for size in (9000, 18000)
    ]
    assert steps[1] <= 2.5 * steps[0]


def _reads_of(text: str) -> int:
    """Symbols that were read to decode `text`."""
    read = 0

    class Counting(Heard):
        def close(self) -> None:
            nonlocal read
            read += decoder.run.symbols if decoder.run is not None else 0

    decoder = Decoder(BASE64, Counting())
    decoder.feed(text, 0)
    decoder.finish()
    return read
