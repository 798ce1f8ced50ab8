from hypothesis import given
from hypothesis import strategies as st

from gateway.scoring.tokens import Pieces, pieces, windows
from gateway.scoring.weights import Weights


def words(text: str) -> Pieces:
    """One piece a character that is not white space."""
    spans = tuple((i, i + 1) for i, c in enumerate(text) if not c.isspace())
    return Pieces(text, tuple(range(len(spans))), spans, tuple(range(len(spans))))


@given(st.text(alphabet="aB. \n", max_size=80), st.integers(1, 12))
def test_windows_cover_every_piece_once_and_are_never_too_long(text: str, longest: int) -> None:
    cut = words(text)
    runs = windows(cut, longest)

    assert [at for start, end in runs for at in range(start, end)] == list(range(len(cut)))
    assert all(0 < end - start <= longest for start, end in runs)


def test_windows_are_cut_between_sentences() -> None:
    assert windows(words("Abc. Def. Ghi."), 9) == [(0, 8), (8, 12)]


def test_a_sentence_that_is_too_long_is_cut_where_it_must_be() -> None:
    assert windows(words("Ab. Cdefghijkl. M."), 4) == [(0, 3), (3, 7), (7, 11), (11, 14), (14, 16)]


def test_pieces_know_their_words_and_places(weights: Weights) -> None:
    (text,) = pieces(weights.tokenizer, ["Zwitterions, 42!"])

    assert "".join(text.text[a:b] for a, b in text.spans) == "Zwitterions,42!"
    assert len(set(text.words)) == 4
