from hypothesis import given
from hypothesis import strategies as st

from gateway.scoring.premises import premises, stems

WORDS = st.frozensets(st.sampled_from("tower metre tall city river mayor bridge".split()), max_size=4)  # noqa: SIM905 - as read
SENTENCES = st.lists(st.tuples(WORDS, st.integers(1, 40)), max_size=12)


@given(SENTENCES, WORDS, st.integers(0, 120))
def test_what_is_chosen_fits_and_nothing_more_would(
    sentences: list[tuple[frozenset[str], int]], claim: frozenset[str], room: int
) -> None:
    lengths = [length for _, length in sentences]
    chosen = premises([words for words, _ in sentences], lengths, claim, room)

    left = room - sum(lengths[at] for at in chosen)
    assert left >= 0
    assert chosen == sorted(set(chosen))
    assert all(lengths[at] > left for at in range(len(lengths)) if at not in chosen)


def test_sentences_that_share_the_claims_words_come_first() -> None:
    context = [stems("It rains."), stems("The tower is 330 metres tall."), stems("It opened in 1889.")]

    assert premises(context, [30, 30, 30], stems("The tower opened in 1889."), 60) == [1, 2]


def test_a_second_sentence_that_says_the_same_gives_way_to_one_that_says_more() -> None:
    context = [stems("The tower, the tower."), stems("A tower it is."), stems("Opened by the mayor.")]

    assert premises(context, [30, 30, 30], stems("The mayor opened the tower."), 60) == [0, 2]


def test_without_a_shared_word_the_beginning_is_read() -> None:
    assert premises([stems("Rain."), stems("Snow."), stems("Hail.")], [10, 10, 10], stems("A tower."), 20) == [0, 1]
