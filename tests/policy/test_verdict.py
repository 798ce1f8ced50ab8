"""Verdicts: a join that order and repetition do not change, and edits that never bring back what they took."""

from __future__ import annotations

from functools import reduce
from itertools import pairwise
from operator import or_

from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.verdict import ALLOW, Action, Edit, Finding, Verdict, applied, disjoint

actions = st.sampled_from(list(Action))
findings = st.builds(
    Finding, st.sampled_from("ab"), st.sampled_from("xy"), st.integers(1, 3), st.sampled_from(("", "timeout"))
)


@st.composite
def edits(draw: st.DrawFn, size: int = 12) -> Edit:
    start = draw(st.integers(0, size))
    return Edit(start, draw(st.integers(start, size)), draw(st.sampled_from(("", "#", "##"))))


verdicts = st.builds(Verdict, actions, st.frozensets(findings, max_size=3), st.frozensets(edits(), max_size=3))


@given(verdicts, verdicts, verdicts)
def test_the_join_is_a_semilattice(a: Verdict, b: Verdict, c: Verdict) -> None:
    assert a | b == b | a
    assert (a | b) | c == a | (b | c)
    assert a | a == a
    assert a | ALLOW == ALLOW | a == a | Verdict() == a


@given(st.lists(verdicts, max_size=6))
def test_a_join_is_as_strong_as_the_strongest_and_keeps_every_finding(said: list[Verdict]) -> None:
    joined = reduce(or_, said, ALLOW)
    assert joined.action == max((v.action for v in said), default=Action.ALLOW)
    assert joined.findings == {f for v in said for f in v.findings}
    assert joined.edits == {e for v in said for e in v.edits}


def failed(action: Action) -> Verdict:
    return Verdict(action, frozenset({Finding("a", "fault", 1, "timeout")}))


def found(action: Action) -> Verdict:
    return Verdict(action, frozenset({Finding("b", "word")}))


def test_a_block_is_a_fault_only_where_no_rail_that_judged_asked_for_it() -> None:
    assert failed(Action.BLOCK).fault
    assert (failed(Action.BLOCK) | found(Action.FLAG)).fault
    assert (found(Action.REDACT) | failed(Action.BLOCK) | found(Action.FLAG)).fault
    assert not (failed(Action.BLOCK) | found(Action.BLOCK)).fault
    assert not found(Action.BLOCK).fault
    assert not (failed(Action.ALLOW) | found(Action.FLAG)).fault
    assert not Verdict(Action.BLOCK).fault


texts = st.text(st.sampled_from("abcdefgh"), min_size=12, max_size=12)


@given(texts, st.lists(edits(), max_size=5))
def test_nothing_that_an_edit_covers_survives(text: str, wanted: list[Edit]) -> None:
    marked = "".join(chr(0xE000 + n) for n in range(len(text)))  # every character known by its place
    out = applied(marked, wanted)
    covered = {n for edit in wanted for n in range(edit.start, edit.end)}
    assert [ord(c) - 0xE000 for c in out if c != "#"] == [n for n in range(len(text)) if n not in covered]


@given(st.lists(edits(), max_size=5), st.randoms())
def test_edits_do_not_depend_on_their_order(wanted: list[Edit], random: object) -> None:
    shuffled = list(wanted)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis' Random
    assert applied("abcdefghijkl", shuffled) == applied("abcdefghijkl", wanted)


@given(st.lists(edits(), max_size=6))
def test_disjoint_edits_are_ordered_and_apart(wanted: list[Edit]) -> None:
    found = disjoint(wanted)
    assert all(a[1] <= b[0] for a, b in pairwise(found))


def test_of_two_that_overlap_the_first_writes() -> None:
    assert applied("abcdef", [Edit(1, 3, "X"), Edit(2, 5, "Y")]) == "aXf"
    assert applied("abcdef", [Edit(2, 2, "+"), Edit(2, 3, "C")]) == "ab+Cdef"
    assert applied("abc", []) == "abc"
