import torch

from gateway.scoring.encoder import Encoder, Encoding
from gateway.scoring.reader import Reader
from gateway.scoring.tokens import Pieces


class Counting(Encoder):
    """Notes which texts were encoded."""

    def __init__(self, encoder: Encoder) -> None:
        self.__dict__ = {**encoder.__dict__, "seen": []}

    def encode(self, texts: list[Pieces]) -> list[Encoding]:  # type: ignore[override]  # of any sequence, in fact
        self.__dict__["seen"] += [text.text for text in texts]
        return super().encode(texts)


def test_a_remembered_context_is_encoded_once(encoder: Encoder) -> None:
    counting = Counting(encoder)
    reader, keep = Reader(counting), frozenset({"A context."})

    first = reader.read(["A question?", "A context.", "A context."], keep=keep)
    again = reader.read(["A context.", "A question?"], keep=keep)

    assert counting.__dict__["seen"] == ["A question?", "A context.", "A question?"]
    assert torch.equal(first[1].encoding.tokens, again[0].encoding.tokens)
    assert [read.text.text for read in first] == ["A question?", "A context.", "A context."]


def test_the_least_recently_used_text_is_forgotten_first(encoder: Encoder) -> None:
    counting = Counting(encoder)
    reader = Reader(counting, remembered=8)
    for text in (
        "one two three",
        "four five six",
        "one two three",
        "seven eight nine",
        "one two three",
        "four five six",
    ):
        reader.read([text], keep=frozenset({text}))

    assert counting.__dict__["seen"] == ["one two three", "four five six", "seven eight nine", "four five six"]
    assert reader.pieces <= 8


def test_a_text_larger_than_the_memory_is_read_and_not_kept(encoder: Encoder) -> None:
    reader = Reader(encoder, remembered=2)
    (read,) = reader.read(["one two three"], keep=frozenset({"one two three"}))

    assert len(read.text) == 3
    assert reader.pieces == 0
