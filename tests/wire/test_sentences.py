import re
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.wire.sentences import LONGEST, complete, may_end, sentences

# Text in which something is decided at almost every character.
tangled = st.text(alphabet=st.sampled_from(list("aB1.!?…。」\"')(\n  \tDr")), max_size=60)
prose = st.one_of(st.text(max_size=80), tangled)


def parts(text: str) -> list[str]:
    return [text[start:end] for start, end in sentences(text)]


@pytest.mark.parametrize(
    "expected",
    [
        ["It rained. ", "We stayed in."],
        ["Really?! ", "Yes."],
        ['He said "go." ', "She went."],
        ["(A note.) ", "More."],
        ["Dr. Ada Byron met Mr. Babbage. ", "They spoke."],
        ["It costs 3.50 in the U.S. today. ", "See e.g. Fig. 2 there."],
        ["J. S. Bach wrote it. ", "In 1721. ", "He was 36."],
        ["1. Open the file.\n", "2. Read it.\n", "- Close it."],
        ["Title\n\n", "A hard-wrapped\nline goes on.\n", "Next."],
        ["今日は雨です。", "「はい。」", "行きません！"],
        ["I said no. ", "Then No. 5 came."],
        ["Wait... ", "What?"],
        ["wait... what?"],
        ["see example.com/a.b?c=d. ", "Done"],
        ["  Leading. ", "Trailing.  \n"],
    ],
)
def test_sentences_end_where_a_reader_says(expected: list[str]) -> None:
    assert parts("".join(expected)) == expected


@given(prose)
def test_spans_cover_the_text_exactly(text: str) -> None:
    assert "".join(parts(text)) == text
    assert all(start < end for start, end in sentences(text))


@given(prose, prose)
def test_what_follows_never_moves_a_finished_boundary(text: str, more: str) -> None:
    finished = [span for span in sentences(text) if span[1] <= complete(text)]

    assert sentences(text + more)[: len(finished)] == finished
    assert sum(end - start for start, end in finished) == complete(text)


@given(prose)
def test_a_stream_may_be_cut_at_any_finished_boundary(text: str) -> None:
    for _, cut in sentences(text)[:-1]:
        assert parts(text[:cut]) + parts(text[cut:]) == parts(text)


@given(prose, st.lists(st.integers(0, 60)))
def test_chunking_does_not_change_the_sentences(text: str, cuts: list[int]) -> None:
    marks = [0, *sorted(min(c, len(text)) for c in cuts), len(text)]
    held, seen = "", []
    for start, end in pairwise(marks):
        held += text[start:end]
        done = complete(held)
        seen += parts(held[:done])
        held = held[done:]

    assert seen + parts(held) == parts(text)


def test_a_text_without_stops_is_cut_at_white_space() -> None:
    text = "word " * 500

    assert all(end - start <= LONGEST + 5 for start, end in sentences(text))


def test_unfinished_text_is_not_complete() -> None:
    assert complete("One. Two") == 5
    assert complete("One. ") == 0  # "One. two" would be one sentence
    assert complete("") == 0


@pytest.mark.parametrize("text", ["." * 200_000, "!)" * 100_000, "? " * 100_000, " \n" * 100_000, "a." * 100_000])
def test_hostile_text_takes_linear_time(text: str) -> None:
    assert sentences(text)[-1][1] == len(text)  # minutes, were it quadratic


@given(prose, st.data())
def test_where_no_sentence_may_have_ended_none_has(text: str, data: st.DataObject) -> None:
    """A longer run of punctuation than any text has may be noticed late; where it ends is the same."""
    assume(not re.search(r"[^\w]{30}", text))
    at = start = 0
    stale = False
    while at < len(text):
        size = data.draw(st.integers(1, 6))
        stale = may_end(text[:at], start, text[at : at + size]) or stale
        at += size
        found = start + complete(text[start:at])
        assert stale or found == start
        start, stale = found, False


def test_a_megabyte_without_white_space_is_not_looked_through_again() -> None:
    blob = "QUJD" * 250_000
    assert not any(may_end(f"It is {blob}", 0, piece) for piece in ("QUJD", "a", "9=="))
    assert may_end(f"It is {blob}", 0, " ")
