from dataclasses import replace

import pytest

from gateway.scoring.scorer import Item, Scored, Scorer

CONTEXT = (
    (
        "The Eiffel Tower was completed in 1889 and stands 330 metres tall in Paris. "
        "It was designed by the engineers of Gustave Eiffel's company for the World's Fair."
    ),
    "Tickets cost 29 euros. The lifts close at half past ten.",
)
QUESTION = "How tall is the Eiffel Tower and when was it built?"


def item(answer: str, context: tuple[str, ...] = CONTEXT) -> Item:
    return Item(QUESTION, context, answer)


@pytest.fixture(scope="module")
def scored(scorer: Scorer) -> dict[str, Scored]:
    answers = {
        "grounded": "The Eiffel Tower is 330 metres tall and was completed in 1889.",
        "paraphrase": "It rises 330 metres above Paris and was finished in 1889, for the World's Fair.",
        "swapped": "The Eiffel Tower was sold to Victor Lustig in 1925 and is 12 kilometres tall.",
        "half": "The Eiffel Tower is 330 metres tall. It was sold to a scrap dealer named Victor Lustig.",
        "off": "Bananas are rich in potassium and grow in tropical climates.",
        "empty": "",
        "blank": " \n",
    }
    return dict(zip(answers, scorer.score([item(a) for a in answers.values()]), strict=True))


def groundedness(scored: Scored) -> float:
    assert scored.groundedness is not None
    return scored.groundedness


def test_grounded_and_invented_answers_are_clearly_apart(scored: dict[str, Scored]) -> None:
    assert groundedness(scored["grounded"]) > 0.9
    assert groundedness(scored["paraphrase"]) > 0.6
    assert groundedness(scored["swapped"]) < 0.5
    assert groundedness(scored["off"]) < 0.1


def test_the_probability_of_a_hallucination_runs_the_other_way(scored: dict[str, Scored]) -> None:
    values = [scored[name].hallucination for name in ("grounded", "swapped")]

    assert values[0] is not None
    assert values[1] is not None
    assert values[0] < values[1]


def test_signals_say_what_speaks_against_an_answer(scored: dict[str, Scored]) -> None:
    assert scored["grounded"].signals["numbers"] == 0
    assert scored["swapped"].signals["numbers"] == 1
    assert scored["half"].signals["names"] > 0


def test_only_the_telling_parts_of_a_very_long_context_are_read(scorer: Scorer) -> None:
    filler = "It rained on the old harbour town for a long while that day. " * 1200
    long = filler + "Kuster found the zwitterion in 1897. "
    (scored,) = scorer.score([item("Kuster found the zwitterion in 1897.", (long,))])

    evidence = scored.sentences[0].evidence
    assert groundedness(scored) > 0.9
    assert evidence is not None
    assert long[evidence.start : evidence.end].startswith("Kuster found")


def test_the_sentence_without_support_is_the_one_named(scored: dict[str, Scored]) -> None:
    told, invented = scored["half"].sentences

    assert told.support > 0.8
    assert invented.support < 0.3
    assert (told.start, told.end, invented.end) == (0, 37, 87)


def test_evidence_points_at_the_sentence_it_comes_from(scorer: Scorer) -> None:
    (answer,) = scorer.score([item("The lifts close at half past ten.")])
    evidence = answer.sentences[0].evidence

    assert evidence is not None
    assert CONTEXT[evidence.source][evidence.start : evidence.end] == "The lifts close at half past ten."


def test_an_answer_to_the_question_is_more_relevant_than_another(scored: dict[str, Scored]) -> None:
    assert scored["grounded"].relevance > 0.6
    assert scored["off"].relevance < 0.2


def test_without_context_there_is_nothing_to_be_grounded_in(scorer: Scorer) -> None:
    for context in ((), ("",), (" ", "\n")):
        (scored,) = scorer.score([item("It is tall.", context)])
        assert scored.groundedness is None
        assert scored.sentences == ()
        assert scored.relevance > 0


def test_an_empty_answer_says_nothing(scored: dict[str, Scored]) -> None:
    for name in ("empty", "blank"):
        assert replace(scored[name], vectors=None) == Scored(0.0, None, ())


def test_scores_do_not_depend_on_the_batch(scorer: Scorer, scored: dict[str, Scored]) -> None:
    (alone,) = scorer.score([item("The Eiffel Tower is 330 metres tall and was completed in 1889.")])

    assert groundedness(alone) == pytest.approx(groundedness(scored["grounded"]), abs=1e-4)
    assert alone.relevance == pytest.approx(scored["grounded"].relevance, abs=1e-4)


def test_no_items_have_no_scores(scorer: Scorer) -> None:
    assert scorer.score([]) == []
