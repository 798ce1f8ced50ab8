import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gateway.scoring import features
from gateway.scoring.lexical import known
from gateway.scoring.tokens import pieces
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


def judged(weights: Weights, answer: str, context: str, best: float = 1.0) -> features.Judged:
    (text,) = pieces(weights.tokenizer, [answer])
    return features.judged(text, torch.full((len(text),), best), known([context]))


def test_only_words_with_content_have_weight_and_claims_have_more(weights: Weights) -> None:
    (text,) = pieces(weights.tokenizer, ["It was the finest Zwitterion, in 1889."])
    mass = judged(weights, text.text, "").mass.tolist()
    by_weight = {w: "".join(text.text[a:b] for (a, b), v in zip(text.spans, mass, strict=True) if v == w) for w in mass}

    assert by_weight == {0.0: "Itwasthe,in.", 1.0: "finest", features.CLAIM: "Zwitterion1889"}


def test_where_nothing_carries_content_everything_counts(weights: Weights) -> None:
    assert judged(weights, "Yes.", "").mass.tolist() == [1.0, 1.0]


def test_a_new_number_or_name_has_no_support_however_alike_it_looks(weights: Weights) -> None:
    context = "It was built in 1889 by Eiffel, an engineer."

    told = features.signals(judged(weights, "It was built in 1889 by Eiffel.", context))
    swapped = features.signals(judged(weights, "It was built in 1925 by Lustig.", context))
    reworded = features.signals(judged(weights, "It was erected in 1889 by Eiffel.", context))

    assert told == {"unsupported": 0, "mass": 0, "words": 0, "numbers": 0, "names": 0}
    assert swapped["unsupported"] > 0.8
    assert swapped["numbers"] == 1
    assert swapped["names"] == pytest.approx(math.log(2))
    assert reworded["words"] == pytest.approx(1 / 3)
    assert reworded["unsupported"] == 0  # a new word may be another word for the same


def test_an_answer_without_any_match_is_unsupported(weights: Weights) -> None:
    assert features.signals(judged(weights, "Bananas grow.", "", best=-torch.inf))["unsupported"] == 1


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
