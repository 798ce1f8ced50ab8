"""The automaton against RE2 and against a definition that tries every continuation."""

from __future__ import annotations

from itertools import pairwise, product

import pytest
import re2
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from gateway.policy.automaton import dfa as dfa_module
from gateway.policy.automaton.charset import SURROGATES, folded, inverted, named, union
from gateway.policy.automaton.dfa import Dfa
from gateway.policy.automaton.matcher import compiled, encoded, matcher
from gateway.policy.automaton.nfa import TooLarge, built
from gateway.policy.automaton.scanner import Match, Scanner
from gateway.policy.automaton.syntax import Chars, longest, parsed, written

ATOMS = ["a", "b", "[ab]", "[^a]", ".", r"\w", r"\W", r"\b", r"\B", "^", "$", "(?m:^)", "(?m:$)", r"\s"]
SUFFIXES = ["*", "+", "?", "{2}", "{1,3}", "{2,}", "*?", "+?"]
LETTERS = "ab \n-"
CONTINUATIONS = ["".join(c) for size in range(4) for c in product("ab \n", repeat=size)]


def joined(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds("{}{}".format, inner, inner),
        st.builds("(?:{}|{})".format, inner, inner),
        st.builds("(?:{}){}".format, inner, st.sampled_from(SUFFIXES)),
    )


expressions = st.recursive(st.sampled_from(ATOMS), joined, max_leaves=6)
texts = st.text(LETTERS, max_size=14)


def automaton(sources: list[str]) -> Dfa:
    return Dfa(built([parsed(source) for source in sources]))


def assumed(sources: list[str]) -> Dfa:
    """The automaton of `sources`, none of which matches the empty text; the rail refuses those."""
    dfa = automaton(sources)
    assume(not any(dfa.nfa.hollow(rule) for rule in range(len(sources))))
    return dfa


def scanned(dfa: Dfa, pieces: list[str]) -> tuple[list[int], list[Match]]:
    """What is held after each piece, and all matches."""
    scanner = Scanner(dfa)
    held = []
    for piece in pieces:
        scanner.feed(piece)
        held.append(scanner.held())
    scanner.finish()
    return held, sorted(scanner.matches, key=lambda m: (m.rule, m.start))


def held(dfa: Dfa, text: str) -> int:
    return scanned(dfa, [text])[0][0]


def matched(sources: list[str], text: str) -> list[Match]:
    return matcher(sources).matches(text)


def split(text: str, cuts: list[int]) -> list[str]:
    places = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    return [text[a:b] for a, b in pairwise(places)]


# Matching


@settings(max_examples=2000, deadline=None)
@given(st.lists(expressions, min_size=1, max_size=3), texts, st.lists(st.integers(0, 20), max_size=4))
def test_a_text_followed_in_pieces_matches_as_re2_matches_the_whole(
    sources: list[str], text: str, cuts: list[int]
) -> None:
    dfa = assumed(sources)
    assert scanned(dfa, split(text, cuts))[1] == matched(sources, text)


@settings(max_examples=2000, deadline=None)
@given(st.lists(expressions, min_size=1, max_size=2), texts)
@example(["aa"], "aaaaa")
@example([r"\bab", "b{3}"], "ab bbbb")
def test_what_is_held_is_what_some_continuation_can_still_decide(sources: list[str], text: str) -> None:
    dfa = assumed(sources)
    best = _brute(sources, text)
    assert held(dfa, text) <= best
    if all((longest(parsed(s)) or 99) <= 3 for s in sources):
        assert held(dfa, text) == best


def _brute(sources: list[str], text: str) -> int:
    """The last offset that no match of any continuation reaches across and up to which all have the same matches."""
    ways = [matched(sources, text + more) for more in CONTINUATIONS]
    spans = {(m.start, m.end) for way in ways for m in way}
    return max(
        cut
        for cut in range(len(text) + 1)
        if not any(start < cut < end for start, end in spans)
        and len({tuple(m for m in way if m.end <= cut) for way in ways}) == 1
    )


@settings(max_examples=2000, deadline=None)
@given(st.lists(expressions, min_size=1, max_size=2), texts, st.lists(st.integers(0, 20), max_size=6))
def test_what_is_held_depends_on_the_text_alone_and_never_moves_back(
    sources: list[str], text: str, cuts: list[int]
) -> None:
    dfa = assumed(sources)
    pieces = split(text, cuts)
    steps = scanned(dfa, pieces)[0]
    assert steps == sorted(steps)
    assert steps == [held(dfa, "".join(pieces[: i + 1])) for i in range(len(pieces))]


@settings(max_examples=500, deadline=None)
@given(st.lists(expressions, min_size=1, max_size=2), texts, st.integers(0, 14))
def test_a_cut_is_the_last_place_that_no_match_reaches_across(sources: list[str], text: str, limit: int) -> None:
    scanner = Scanner(assumed(sources))
    scanner.feed(text)
    limit = min(limit, len(text))
    cut = scanner.cut(limit)
    assert cut <= limit
    assert not any(m.start < cut < m.end for m in matched(sources, text))
    assert cut >= scanner.cut(0) == 0


def test_nothing_is_held_of_a_text_in_which_nothing_can_begin() -> None:
    dfa = automaton([r"\bsk-[a-z]{3}"])
    text = "ask, task and desk: all words, no key."
    assert scanned(dfa, list(text))[0] == [i + 1 for i in range(len(text))]


def test_a_match_that_can_still_grow_is_held() -> None:
    dfa = automaton([r"\d+"])
    assert [held(dfa, t) for t in ("a", "a1", "a12", "a12 ", "a12 b")] == [1, 1, 1, 4, 5]


def test_a_match_that_cannot_grow_is_let_go_at_once() -> None:
    assert held(automaton(["abc"]), "xabc") == 4


def test_a_word_boundary_waits_for_the_next_character() -> None:
    dfa = automaton([r"key\b"])
    assert [held(dfa, t) for t in ("key", "keys", "key!")] == [0, 4, 4]


def test_a_finished_match_is_not_cut_by_a_later_one_that_overlaps() -> None:
    dfa = automaton(["abcd", "cdef"])
    assert held(dfa, "xabcd") == 1


def test_looks_that_contradict_each_other_hold_nothing() -> None:
    assert held(automaton([r"foo\b\wx", "z"]), "foo") == 3


def test_case_is_folded_as_re2_folds_it() -> None:
    # U+017F is a long s, U+212A the sign of the kelvin.
    assert scanned(automaton([r"(?i)sk"]), ["\u017f\u212a"])[1] == [Match(0, 2, 0)]


def test_lone_surrogates_are_characters_like_any_other() -> None:
    assert encoded("a\ud83d\ude00b") == "a\ufffd\ufffdb".encode()
    assert (
        matched(["a..b"], "xa\ud83d\ude00b") == [Match(1, 5, 0)] == scanned(automaton(["a..b"]), ["xa\ud83d\ude00b"])[1]
    )


def test_offsets_are_characters_not_bytes() -> None:
    assert matched(["x.z"], "äöü😀x€z") == [Match(4, 7, 0)]


# Cost


def test_memory_is_given_back_and_matches_stay_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dfa_module, "REMEMBERED", 40)
    sources = [r"[ab]*a[ab]{6}", r"b\w{2,5}\b"]
    text = "abbab aabbababba bab abbbabaab ab"
    dfa = automaton(sources)
    for _ in range(3):
        assert scanned(dfa, list(text))[1] == matched(sources, text)
    assert dfa.remembered <= 41


def test_a_crowd_of_threads_is_followed_like_a_few() -> None:
    sources = ["a.{0,30}b"]
    text = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa cc b aab"
    assert scanned(automaton(sources), list(text))[1] == matched(sources, text)


def test_an_expression_with_too_many_states_is_refused() -> None:
    with pytest.raises(TooLarge, match="states"):
        built([parsed("(?:[a-z]{50}){500}")])


# Syntax

CLASSES = [
    r"\w",
    r"\W",
    r"(?i)\W",
    r"(?i)\P{Lu}",
    r"\PL",
    r"(?i)[^\P{Lu}a]",
    r"[^\s\x00-\x20]",
    r"(?i)[a-k]",
    r"(?i)[^k]",
    r"(?i)Σ",
    r"[[:^alpha:]x]",
    r"(?i)[[:^upper:]]",
    r"[]a-]",
    r"[a\-z]",
    r"[\d-x]",
    r"[^]]",
    r"\x{1F600}",
    r"\101",
    r"\0",
    r"\pN",
    r"\p{^Greek}",
    r"[\p{Greek}\pN]",
    r"(?i)ǆ",
    r"(?i)Ⅷ",
    r"(?i)\x{345}",
    r"(?i)Ⓐ",
    r".",
    r"(?s).",
    r"\.",
    r"\Q.\E",
    r"[\n\t\a\f\v\r]",
    r"\xFf",
]


@pytest.mark.parametrize("source", CLASSES)
def test_classes_have_the_members_that_re2_gives_them(source: str) -> None:
    node = parsed(source)
    assert isinstance(node, Chars)
    assert union((*node.ranges, SURROGATES)) == union((*named(source), SURROGATES))


@pytest.mark.parametrize("letter", ["k", "s", "ß", "Å", "µ", "ǅ", "θ", "1"])
def test_folding_agrees_with_re2(letter: str) -> None:
    code = ord(letter)
    assert folded(((code, code),)) == named(f"(?i){letter}")


SYNTAX = [
    r"a\Qb|c\Ed",
    r"(?P<name>a)(?<other>b)",
    r"(a)(?:b)(?i)C",
    r"(?i:a(?-i:B)c)D",
    r"a{,3}",
    r"a{1",
    r"(?:x{2}){3}",
    r"(?U)a+b*",
    r"(?m)^a$",
    r"(?ms)a.^b",
    r"\Aab\z",
    r"a||b",
    r"(|a)b",
    r"[a-c&&x]",
    r"\pLx",
]


@pytest.mark.parametrize("source", SYNTAX)
def test_notation_is_read_as_re2_reads_it(source: str) -> None:
    texts = [
        "ab|cd",
        "ab",
        "abC",
        "aBcD",
        "aBcd",
        "a{,3}",
        "a{1",
        "xxxxxx",
        "aabb",
        "x\na\nb",
        "a\nb",
        "éx",
        "[c&x]]",
        "b",
    ]
    dfa = automaton([f"z(?:{source})"])
    for text in texts:
        for probe in (f"z{text}", f"{text}z{text}{text}"):
            want = [Match(m.start(), m.end(), 0) for m in _finditer(f"z(?:{source})", probe)]
            assert scanned(dfa, [probe])[1] == want


def _finditer(source: str, text: str) -> list[re2._Match]:
    options = re2.Options()
    options.longest_match = True
    return list(re2.compile(source, options).finditer(text))


@settings(max_examples=500, deadline=None)
@given(expressions, texts)
def test_what_is_written_means_what_was_read(source: str, text: str) -> None:
    again = written(parsed(source))
    assert [m.span() for m in compiled(again).finditer(text.encode())] == [
        m.span() for m in compiled(source).finditer(text.encode())
    ]


def test_half_characters_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\\C"):
        parsed(r"a\Cb")


@pytest.mark.parametrize(
    ("source", "length"),
    [("abc", 3), ("a|bcd", 3), ("a{2,5}b", 6), ("a+", None), (r"\b^a$", 1), ("(?:a|b*)c", None), (r"(?:\b)*a", 1)],
)
def test_the_longest_match_is_known(source: str, length: int | None) -> None:
    assert longest(parsed(source)) == length


def test_ranges_are_sets() -> None:
    assert union([(5, 9), (1, 3), (4, 4), (8, 12)]) == ((1, 12),)
    assert inverted(((0, 4), (6, 0x10FFFF))) == ((5, 5),)
    assert inverted(inverted(((3, 7),))) == ((3, 7),)
