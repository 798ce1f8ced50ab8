from contextlib import closing
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gateway.observe.spool import Records, Spool
from gateway.scoring import engine
from gateway.scoring.scorer import Scored
from gateway.scoring.traits import WORDS, language, refuses, terms
from gateway.scoring.vectors import Watched

SAID = {
    "en": "What is the capital of France, and how do I get there with the train?",
    "de": "Was ist die Hauptstadt von Frankreich und wie komme ich mit dem Zug nach Paris?",
    "fr": "Quelle est la capitale de la France et comment est-ce que je peux y aller avec le train ?",
    "es": "¿Cuál es la capital de Francia y cómo llego con el tren a la ciudad?",
    "pl": "Jaka jest stolica Francji i jak się do niej dostać, jeśli to nie jest daleko?",
    "ru": "Какая столица Франции?",
    "ja": "フランスの首都はどこですか。",
    "zh": "法国的首都是哪里？",
    "ar": "ما هي عاصمة فرنسا؟",
    "none": "42",
    "other": "Zorgblat vimble trondheim quux flarn",
}


@pytest.mark.parametrize("code", SAID)
def test_languages_are_told_apart(code: str) -> None:
    assert language(SAID[code]) == code


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I cannot assist with this request.",
        "As an AI language model, I am unable to give medical advice.",
        "I’m afraid I can’t do that, Dave.",
    ],
)
def test_refusals_are_seen(text: str) -> None:
    assert refuses(text)


@pytest.mark.parametrize(
    "text",
    [
        "Paris.",
        "You can't park here on Sundays.",
        "I'm sorry for your loss. Here is what to do.",
        "I can help with that.",
    ],
)
def test_answers_that_say_no_to_nobody_are_no_refusals(text: str) -> None:
    assert not refuses(text)


@given(st.text(max_size=3000))
def test_traits_of_any_text_are_bounded(text: str) -> None:
    assert language(text) in {"other", "none"} or len(language(text)) == 2
    assert len(terms(text)) <= WORDS
    assert all(2 < len(term) < 80 for term in terms(text))


def test_items_that_name_their_exchange_leave_two_records_and_no_text(tmp_path: Path) -> None:
    path = tmp_path / "vectors"
    vectors = torch.eye(4)[0], torch.eye(4)[1]
    scored = Scored(0.5, None, (), vectors=vectors)
    asked = "Where is the harbour of Rostock?"
    items = [
        {"id": "a", "route": "m", "question": asked, "answer": "I cannot help with that.", "context": []},
        {"question": asked, "answer": "!", "context": []},
    ]
    Watched(Spool(path)).put(items, [scored, scored])
    with closing(Records(path)) as records:
        prompt, answer = records.read()
    assert (prompt.head["id"], prompt.head["kind"], prompt.head["language"]) == ("a", "prompt", "en")
    assert (answer.head["kind"], answer.head["refusal"]) == ("answer", "yes")
    assert prompt.body == b"\x00\x3c" + bytes(6)
    assert b"harbour" not in path.read_bytes()
    Watched(Spool(path), words=True).put(items, [scored, scored])
    assert b"harbour" in path.read_bytes()
    assert path.stat().st_mode & 0o077 == 0


@pytest.mark.engine
async def test_the_scorer_leaves_vectors_and_gives_them(tmp_path: Path) -> None:
    spec = {"watched": {"path": str(tmp_path / "vectors"), "words": False}}
    async with engine.open(spec, engine.prepare(spec)) as scorer:
        item = {"id": "a", "question": "Where is it?", "context": [], "answer": "In Rostock."}
        await scorer.call("score", {"items": [item]})
        found = await scorer.call("vectors", {"texts": ["Where is it?"], "kind": "prompt"})
    with closing(Records(tmp_path / "vectors")) as records:
        prompt, answer = records.read()
    assert (prompt.head["kind"], answer.head["kind"]) == ("prompt", "answer")
    assert len(prompt.body) == 2 * 384
    (told,) = found["vectors"]
    assert (told["kind"], told["chars"], told["words"]) == ("prompt", 12, [])
