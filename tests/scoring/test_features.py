import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gateway.scoring import features
from gateway.scoring.tokens import Pieces, pieces
from gateway.scoring.weights import Weights
from gateway.scoring.words import content

unit = st.floats(-1, 1)


@given(st.lists(unit, min_size=1, max_size=20), st.data())
def test_a_better_match_never_lowers_a_score(values: list[float], data: st.DataObject) -> None:
    best = torch.tensor(values)
    raised = best.clone()
    raised[data.draw(st.integers(0, len(values) - 1))] += data.draw(st.floats(0, 1))
    mass = torch.ones(len(values))

    low, high = (features.mean_support(features.support(b), mass) for b in (best, raised))
    assert 0 <= low <= high + 1e-6 <= 1 + 2e-6


def test_no_context_supports_nothing() -> None:
    assert features.support(torch.tensor([-torch.inf, 1.0])).tolist() == [0.0, 1.0]


def test_only_words_with_content_have_weight(weights: Weights) -> None:
    (text,) = pieces(weights.tokenizer, ["It was the Zwitterions, in 1889."])
    heavy = [text.text[a:b] for (a, b), w in zip(text.spans, features.weights(text).tolist(), strict=True) if w]

    assert "".join(heavy) == "Zwitterions1889"


def test_where_nothing_carries_content_everything_counts() -> None:
    assert features.weights(Pieces("Yes.", (1, 2), ((0, 3), (3, 4)), (0, 1))).tolist() == [1.0, 1.0]


def test_a_sentence_without_weight_has_the_mean_of_its_pieces() -> None:
    assert features.mean_support(torch.tensor([0.0, 1.0]), torch.zeros(2)) == pytest.approx(0.5)


def test_opposite_texts_are_irrelevant_not_negative() -> None:
    assert features.relevance(torch.tensor([1.0]), torch.tensor([-1.0])) == 0.0


def test_numbers_and_names_are_content_and_function_words_are_not() -> None:
    assert [word for word in ("The", "of", "–", "Paris", "1889", "built") if content(word)] == [
        "Paris",
        "1889",
        "built",
    ]
