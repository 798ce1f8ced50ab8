"""The pattern rail: one verdict for a text, whole or streamed, plain or in disguise."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.config.policy import PatternSpec, PolicySpec
from gateway.errors import ConfigError
from gateway.policy.rail import Subject, Tools, Unit
from gateway.policy.rails.packs import PACKS
from gateway.policy.rails.pattern import PatternRail, build, problems
from gateway.policy.verdict import ALLOW, Action, Edit, Finding, Verdict, applied
from gateway.wire.passage import Passage

KEY = "sk-proj-" + "a1B2c3D4e5" * 3


def rail(*deny: str, **spec: Any) -> PatternRail:
    return build(PatternSpec(kind="pattern", deny=deny, **{"action": "redact", **spec}), Tools({}))


def redacted(judge: PatternRail, text: str) -> str:
    return applied(text, judge.judged(text).edits)


def pieces(text: str, cuts: list[int]) -> list[str]:
    places = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    return [text[a:b] for a, b in pairwise(places)]


class Stream:
    """What a client gets of a text that streams, by the same steps as the window takes."""

    def __init__(self, judge: PatternRail, parts: list[str]) -> None:
        self.watch = judge.scanner()
        self.text = "".join(parts)
        self.places = [0]  # up to where was delivered, step by step
        self.delivered = ""
        self.verdict = ALLOW
        self.counts: Counter[str] = Counter()
        self.blocked: int | None = None  # what had been delivered when the first block came
        for part in parts:
            self._release(self.watch.feed(part))
        self.watch.finish()
        self._release(self.watch.cut(len(self.text)))

    def _release(self, upto: int) -> None:
        start = self.places[-1]
        said = self.watch.take(upto)
        assert all(start <= e.start < e.end <= upto for e in said.edits)
        if said.action is Action.BLOCK and self.blocked is None:
            self.blocked = start
        edits = [Edit(e.start - start, e.end - start, e.new) for e in said.edits]
        self.delivered += applied(self.text[start:upto], edits)
        self.verdict |= Verdict(said.action, frozenset(), said.edits)
        for finding in said.findings:
            self.counts[finding.rule] += finding.count
        self.places.append(upto)


# A text, whole


async def test_each_passage_gets_its_verdict() -> None:
    judge = rail("x+", name="xs")
    texts = ("axxb", "none", "x x")
    subject = Subject([Passage(("messages", i), "user", "input", t) for i, t in enumerate(texts)])
    first, second, third = await judge.inspect(subject)
    assert first == Verdict(Action.REDACT, frozenset({Finding("xs", "deny[0]")}), frozenset({Edit(1, 3, "[REDACTED]")}))
    assert second == ALLOW
    assert third.findings == {Finding("xs", "deny[0]", 2)}


@pytest.mark.parametrize("action", ["flag", "block"])
def test_only_redaction_edits(action: str) -> None:
    verdict = rail("x", action=action).judged("axb")
    assert verdict.action is Action[action.upper()]
    assert not verdict.edits


def test_findings_name_the_rule_and_never_the_text() -> None:
    verdict = rail("nothing", builtin=("api_keys", "urls")).judged(f"{KEY} at https://example.org/x")
    assert verdict.findings == {Finding("pattern", "api_keys.openai"), Finding("pattern", "urls.url")}
    assert {e.new for e in verdict.edits} == {"[API_KEY]", "[URL]"}
    assert KEY not in repr(verdict)


def test_a_key_is_redacted_where_it_stands() -> None:
    judge = rail(builtin=("api_keys", "private_keys"))
    assert redacted(judge, f"use {KEY}, please") == "use [API_KEY], please"


def test_the_leftmost_longest_match_wins_and_matches_do_not_overlap() -> None:
    assert redacted(rail("ab|abc|bcd"), "abcd") == "[REDACTED]d"
    assert redacted(rail("aa"), "aaaaa") == "[REDACTED][REDACTED]a"


def test_case_counts_unless_it_is_told_not_to() -> None:
    assert rail("secret").judged("SECRET") == ALLOW
    assert rail("secret", ignore_case=True).judged("SeCrEt").action is Action.REDACT
    assert rail(r"\Qa.b", ignore_case=True).judged("A.B").action is Action.REDACT


def test_case_of_packs_is_their_own() -> None:
    assert rail(builtin=("api_keys",), ignore_case=True).judged(KEY.upper()) == ALLOW


def test_lone_surrogates_are_judged_like_any_character() -> None:
    text = "\ud800secret\udfff\ud83d"
    assert redacted(rail("secret."), text) == "\ud800[REDACTED]\ud83d"


# In disguise

DISGUISES: dict[str, Callable[[str], str]] = {
    "zero width": "\u200b".join,
    "soft hyphen": "\u00ad".join,
    "fullwidth": lambda t: "".join(chr(ord(c) + 0xFEE0) for c in t),
    "mathematical": lambda t: "".join(chr(0x1D41A + ord(c) - 97) if c.islower() else c for c in t),
    "cyrillic": lambda t: t.translate(str.maketrans("aceopxys", "асеорхуѕ")),
    "combining": lambda t: "\u0336".join(t) + "\u0336",
    "tags within": "\U000e0041".join,
    "percent": lambda t: "".join(f"%{ord(c):02X}" for c in t),
    "half percent": lambda t: "".join(f"%{ord(c):02x}" if i % 2 else c for i, c in enumerate(t)),
    "unicode escapes": lambda t: "".join(f"\\u{ord(c):04x}" for c in t),
    "hex escapes": lambda t: "".join(f"\\x{ord(c):02x}" for c in t),
    "references": lambda t: "".join(f"&#{ord(c)};" for c in t),
    "base64": lambda t: base64.b64encode(f"it is {t}!".encode()).decode(),
    "url base64": lambda t: base64.urlsafe_b64encode(f"it is {t}!?".encode()).decode().rstrip("="),
    "base64 of lookalikes": lambda t: base64.b64encode("it is ѕеcrеt-phrаѕе".encode()).decode(),
    "hexadecimal": lambda t: t.encode().hex(),
    "tags": lambda t: "".join(chr(0xE0000 + ord(c)) for c in t),
    "selectors": lambda t: "".join(chr(0xE0100 + ord(c) - 16) for c in t),
}
PHRASE = "secret-phrase"


@pytest.mark.parametrize("disguise", DISGUISES)
def test_a_disguise_does_not_help(disguise: str) -> None:
    judge = rail(PHRASE)
    text = f"They said: {DISGUISES[disguise](PHRASE)} and left."
    whole = judge.judged(text)
    assert whole.findings == {Finding("pattern", "deny[0]")}
    out = applied(text, whole.edits)
    assert out.startswith("They said: ")
    assert out.endswith(" and left.")
    assert judge.judged(out) == ALLOW
    stream = Stream(judge, list(text))
    assert (stream.delivered, stream.counts) == (out, {"deny[0]": 1})


@pytest.mark.parametrize("disguise", DISGUISES)
def test_no_part_of_a_disguised_match_is_delivered(disguise: str) -> None:
    judge = rail(PHRASE, action="block")
    text = f"They said: {DISGUISES[disguise](PHRASE)} and left."
    start = min(e.start for e in rail(PHRASE).judged(text).edits)
    assert Stream(judge, list(text)).blocked in range(start + 1)


def test_a_rule_with_marks_finds_every_form_of_them() -> None:
    judge = rail("café", "пароль")
    for text in ("café", "cafe\u0301", "c\u200bafé", "сafé", "пароль", "па\u00adроль"):
        assert judge.judged(text).action is Action.REDACT, text
    for text in ("cafe", "cafes", "napoль"):
        assert judge.judged(text) == ALLOW, text


def test_a_rule_is_not_widened_by_folding_what_it_does_not_name() -> None:
    assert rail("[^a-z]x").judged("ax") == ALLOW
    assert rail("schön").judged("schon wieder") == ALLOW


def test_a_rule_for_what_does_not_show_finds_it_and_nothing_else() -> None:
    judge = rail("\\x{200b}")
    assert redacted(judge, "a\u200bb") == "a[REDACTED]b"
    assert judge.judged("ab\u00ad") == ALLOW


# A text that streams

# By number: a rail that is shown in full, as a failing example would be, fills the screen.
RAILS = [
    rail(r"\bsk-[a-z]{3,6}"),
    rail("secret", r"\d{3}"),
    rail("[a-z]+@[a-z]+", action="redact"),
    rail("ab*c", r"(?m:^)x.y$"),
    rail("séc?ret", "аbc", "[а-я]+!", r"\x{200b}"),
    rail(r"^\w+\b.", "bb"),
    rail(builtin=tuple(PACKS)),
]


def _encoded(word: str, way: int) -> str:
    data = word.encode()
    ways = [
        word,
        word,
        base64.b64encode(data).decode(),
        base64.urlsafe_b64encode(data * 2).decode().rstrip("="),
        base64.encodebytes(data * 20).decode(),
        data.hex(),
        "".join(f"%{b:02x}" if b % 2 else chr(b) for b in data) if word.isascii() else word,
        "".join(f"\\u{ord(c):04x}" if ord(c) % 2 else c for c in word),
        "".join(f"&#{ord(c)};" if ord(c) % 3 else c for c in word),
        "\u200b".join(word),
        "\u0301".join(word),
        word.translate(str.maketrans("aecosk", "аесоѕк")),
        "".join(chr(0xE0000 + ord(c)) if " " <= c <= "~" else c for c in word),
        "".join(chr(0xE0100 + b - 16) for b in data if b >= 16),
    ]
    return ways[way % len(ways)]


WORDS = ["sk-abc", "secret", "123", "a@b", "abc", "ac", "x y", "xzy", "é", "Ω", "!", "/", "+", "-", "_", "=", "hello"]
TAILS = ["", "", "", "%", "%7", "\\u00", "&#1", "%D0", "c2st", "\ud800", "73", "0x"]
words = st.builds(_encoded, st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map("".join), st.integers(0, 13))
texts = st.builds(
    "{}{}".format,
    st.lists(st.one_of(words, st.sampled_from([" ", "\n", "\r\n", ".", " the "])), max_size=7).map("".join),
    st.sampled_from(TAILS),
)


@settings(max_examples=2500, deadline=None)
@given(st.sampled_from(range(len(RAILS))), texts, st.lists(st.integers(0, 500), max_size=8))
@example(0, "c2stYWJjZA==", [1, 2, 3, 4, 5, 6])
@example(3, "word/YWJjK2FiYythYmMr", [5])
@example(1, "!é%73ecr%65%74.", [3, 6, 9, 12])
@example(1, "s%65cr\u200bet 73656372657420", [2, 3, 9])
def test_a_streamed_text_is_judged_and_redacted_like_the_whole(which: int, text: str, cuts: list[int]) -> None:
    judge = RAILS[which]
    whole = judge.judged(text)
    for parts in (pieces(text, cuts), list(text)):
        stream = Stream(judge, parts)
        assert stream.verdict.edits == whole.edits
        assert stream.verdict.action is whole.action
        assert stream.counts == {f.rule: f.count for f in whole.findings}
        assert stream.delivered == applied(text, whole.edits)


@settings(max_examples=2000, deadline=None)
@given(st.sampled_from(range(len(RAILS))), texts, st.lists(st.integers(0, 500), max_size=8))
def test_what_is_held_never_moves_back_and_depends_on_the_text_alone(which: int, text: str, cuts: list[int]) -> None:
    judge = RAILS[which]
    parts = pieces(text, cuts)
    watch = judge.scanner()
    held = [watch.feed(part) for part in parts]
    assert held == sorted(held)
    assert held == [judge.held(sofar) for sofar in accumulate(parts)]


@settings(max_examples=1000, deadline=None)
@given(st.sampled_from(range(len(RAILS))), texts)
def test_nothing_of_a_match_is_delivered_before_its_verdict(which: int, text: str) -> None:
    judge = RAILS[which]
    matches = [(e.start, e.end) for e in judge.judged(text).edits]
    for upto in Stream(judge, list(text)).places:
        assert not any(start < upto < end for start, end in matches)


PROSE = (
    'Please note: the quick brown fox (a mammal) jumps over "lazy" dogs; then it\'s asked about caf\u00e9s \u2014 '
    "\u4e2d\u6587 too \u2014 and 3.5% of them say 100 \u20ac is fair. See page 42, section 7: keys and sketches!\n"
)


def test_little_is_held_of_prose_and_nothing_between_its_sentences() -> None:
    """Every pack at once: a character now and then that may begin an address, a tag or a key."""
    judge = rail(builtin=tuple(PACKS))
    watch = judge.scanner()
    held = [at + 1 - watch.feed(char) for at, char in enumerate(PROSE * 4)]
    assert sum(held) / len(held) < 1.5
    assert all(held[at] == 0 for at, char in enumerate(PROSE * 4) if char == "\n")


def test_a_rail_without_disguises_in_sight_holds_only_its_own_beginnings() -> None:
    judge = rail("zebra")
    watch = judge.scanner()
    assert [len(text) - judge.held(text) for text in ("a zeb", "a zebu", "a ze", "the")] == [3, 0, 2, 0]
    assert watch.feed("nothing here") == len("nothing here")


def test_two_rails_cut_where_neither_has_a_match() -> None:
    first, second = rail("abcd").scanner(), rail("cdef").scanner()
    held = [watch.feed("gabcd") for watch in (first, second)]
    assert held == [5, 3]
    assert first.cut(3) == 1


@pytest.mark.parametrize(("deny", "longest"), [(("abc", "x{2,9}"), 9), (("abc", "x+"), None)])
def test_the_longest_match_is_told(deny: tuple[str, ...], longest: int | None) -> None:
    judge = rail(*deny)
    assert (judge.longest, judge.unit) == (longest, Unit.MATCH)


# What cannot be used


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("a(?=b)", "no look-around"),
        (r"(a)\1", "no back-references"),
        (r"a\Z", r"writes the end of the text \\z"),
        ("a{1001}", "at most 1000"),
        ("a++", "possessive"),
        ("(a", "missing"),
        ("a*", "empty text"),
        (r"\b", "empty text"),
        (r"a\Cb", "half a character"),
        ("(?:[a-z]{40}){25}" * 30, "states"),
        ("(" * 300 + "a" + ")" * 300, "nested"),
    ],
)
def test_an_expression_that_cannot_be_used_is_refused_with_its_index_and_a_hint(source: str, why: str) -> None:
    with pytest.raises(ConfigError, match=rf"(?s)deny\[1\].*{why}"):
        rail("fine", source)


def test_an_unknown_pack_is_refused_with_a_guess() -> None:
    with pytest.raises(ConfigError, match="did you mean 'api_keys'"):
        rail(builtin=("api_key",))
    with pytest.raises(ConfigError, match="there are api_keys"):
        rail(builtin=("zzz",))


def test_a_rail_that_looks_for_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="nothing to look for"):
        rail()


def test_problems_are_told_with_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("name: p\noutput:\n  - pattern:\n      deny:\n        - fine\n        - '(bad'\n")
    spec = PolicySpec(name="p", output=(PatternSpec(kind="pattern", deny=("fine", "(bad")),))
    (problem,) = problems([spec], tmp_path)
    assert (Path(problem.file).name, problem.line) == ("p.yaml", 6)
    assert "deny[1]" in problem.message


# Cost


def test_hostile_texts_take_time_in_proportion() -> None:
    """64 KiB that would keep a backtracking engine busy for seconds: a few steps a character here."""
    judge = rail(r"[\w.+-]+@[\w-]+\.[\w.-]+", "^(a+)+$", "(?:a|aa)+b")
    text = "a" * 65536 + "!"
    assert judge.judged(text) == ALLOW
    assert judge.held(text) == len(text)
    assert judge.lens.dfa.remembered < 200


def test_many_matches_in_one_piece_are_kept_apart() -> None:
    judge = rail(r"\d")
    text = "1é" * 5000
    assert len(Stream(judge, [text]).verdict.edits) == 5000
