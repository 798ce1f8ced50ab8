import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.grounding import swaps

CONTEXT = "Marie Curie won the prize in 1903. Paul Langevin wrote to Albert Einstein about 25 new instruments."
CLAIM = "After the war Marie Curie was given 12 medals by Georges Clemenceau in January 1921, before the vote."


@given(st.text(max_size=200), st.text(max_size=200), st.integers(0, 9))
def test_any_text_is_edited_or_left(claim: str, context: str, seed: int) -> None:
    edit = swaps.swapped(claim, context, random.Random(seed))
    swaps.reworded(claim, random.Random(seed))
    if edit is not None:
        assert edit.text != claim
        assert all(0 <= start < end <= len(edit.text) for start, end in edit.spans)


@given(st.integers(0, 500))
def test_a_swap_changes_exactly_what_it_says(seed: int) -> None:
    edit = swaps.swapped(CLAIM, CONTEXT, random.Random(seed))

    assert edit is not None
    assert edit.text != CLAIM
    if edit.portable:
        ((start, end),) = edit.spans
        assert edit.text[start:end] == edit.new
        assert edit.text[:start] + edit.old + edit.text[end:] == CLAIM


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (swaps.name, {"Paul Langevin", "Albert Einstein"}),
        (swaps.series, None),
        (swaps.number, None),
        (swaps.opposite, None),
        (swaps.denial, {"not", "never"}),
        (swaps.roles, None),
    ],
)
def test_every_kind_of_swap_finds_something_to_change(kind: swaps.Kind, wrong: set[str] | None) -> None:
    edits = [kind(CLAIM, CONTEXT, random.Random(seed)) for seed in range(8)]

    assert any(edits)
    for edit in filter(None, edits):
        said = {edit.text[start:end] for start, end in edit.spans}
        assert wrong is None or said & wrong


def test_a_denial_is_also_taken_back() -> None:
    edit = swaps.denial("It was not opened.", "", random.Random(0))

    assert edit is not None
    assert edit.text == "It was opened."


def test_what_is_no_plain_number_is_left_alone() -> None:
    assert swaps.number("Version 3.11.2 of B2B.", "", random.Random(0)) is None


def test_an_edit_is_made_in_the_context_too() -> None:
    edit = swaps.Edit("Paul Langevin won.", ((0, 13),), "name", "Marie Curie", "Paul Langevin")

    assert swaps.carried(edit, ["Marie Curie won.", "So did Pierre."]) == ("Paul Langevin won.", "So did Pierre.")
    assert swaps.carried(edit, ["Nobody won."]) is None


def test_rewording_turns_dates_and_drops_brackets() -> None:
    said = {swaps.reworded("It opened (late) on March 31, 1889.", random.Random(seed)) for seed in range(20)}

    assert "It opened on 31 March 1889." in said


def test_differences_of_two_texts_are_spans_of_the_second() -> None:
    new = "Police in Brazil killed the gunman on Tuesday."
    found = list(swaps.differing("Police in Brazil arrested the gunman on Monday.", new))

    assert [new[start:end] for start, end in found] == ["killed", "Tuesday"]
