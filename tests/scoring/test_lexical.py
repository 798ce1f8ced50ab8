import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.scoring.lexical import known, novel, stemmed, words

CONTEXT = "The Eiffel Tower was completed in 1889 and stands 1,330 metres tall in Paris. Three companies built it."


def unheard(answer: str) -> list[str]:
    return [answer[word.start : word.end] for word in novel(words(answer), known([CONTEXT]))]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("The tower stands in Paris.", []),
        ("The towers stood 1330 metres tall; 3 companies, it is said.", ["stood", "said"]),
        ("It was completed in 1925.", ["1925"]),
        ("Paris's tower was sold to Victor Lustig.", ["sold", "Victor", "Lustig"]),
    ],
)
def test_only_what_the_context_does_not_say_is_new(answer: str, said: list[str]) -> None:
    assert unheard(answer) == said


def test_names_are_capitalised_words_that_open_no_sentence_and_acronyms() -> None:
    names = [word.stem for word in words('Towers fell. "Gustave came," said Marie of NASA. NATO left.') if word.name]

    assert names == ["mari", "nasa", "nato"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1,000", "1000"),
        ("3.50", "3.5"),
        ("Three", "3"),
        ("company", "companies"),
        ("closed", "closing"),
        ("Rome's", "Rome"),
    ],
)
def test_forms_of_one_word_have_one_stem(one: str, other: str) -> None:
    assert stemmed(one) == stemmed(other)


def test_dates_and_versions_keep_all_their_parts() -> None:
    assert stemmed("12.10.2024") == "12.10.2024"


@given(st.text(max_size=60))
def test_a_text_says_nothing_new_to_itself(text: str) -> None:
    assert novel(words(text), known([text])) == []


@given(st.text(max_size=60))
def test_words_stand_where_they_say_and_are_in_order(text: str) -> None:
    said = words(text)

    assert [word.stem for word in said] == [stemmed(text[word.start : word.end]) for word in said]
    assert [word.start for word in said] == sorted(word.start for word in said)
