from hypothesis import given
from hypothesis import strategies as st

from gateway.scoring.passages import PART, passages

FILLER = "It rained on the old harbour town for a long while that day. " * 40


def test_a_context_that_fits_is_read_whole() -> None:
    assert [(p.source, p.start, p.text) for p in passages(["one", "two"], "?")] == [(0, 0, "one"), (1, 0, "two")]


def test_of_a_context_that_is_too_long_the_parts_the_answer_speaks_of_are_read() -> None:
    context = [FILLER, FILLER + "The zwitterion was found by Kuster in 1897. " + FILLER]

    read = passages(context, "Kuster found the zwitterion in 1897.", most=2 * PART)

    assert any("zwitterion" in part.text for part in read)
    assert sum(len(part.text) for part in read) <= 2 * PART


@given(st.lists(st.text(alphabet="ab. \n", max_size=80), max_size=3), st.integers(0, 100))
def test_parts_stand_where_they_say_in_order_and_within_bounds(context: list[str], most: int) -> None:
    read = passages(context, "a b", most)

    assert all(context[p.source][p.start : p.start + len(p.text)] == p.text for p in read)
    assert sum(len(p.text) for p in read) <= most
    assert [(p.source, p.start) for p in read] == sorted((p.source, p.start) for p in read)


def test_text_without_an_end_is_cut_all_the_same() -> None:
    assert len(passages(["x" * 10 * PART], "x", most=5 * PART)) == 2
