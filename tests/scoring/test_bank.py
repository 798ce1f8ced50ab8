from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gateway.scoring import bank, head
from gateway.scoring.bank import AT_ONCE, Bank
from gateway.scoring.encoder import Encoder
from gateway.scoring.reader import Reader
from gateway.scoring.scorer import Item, Scorer
from kernels.dispatch import ops

KNOWN = ["Where is the harbour?", *(f"What is {n} plus {n}?" for n in range(AT_ONCE + 3))]


def test_a_question_is_novel_as_far_as_it_is_from_what_is_known(encoder: Encoder) -> None:
    prompts = Bank(KNOWN, encoder, ops("cpu"))
    scorer = Scorer(Reader(encoder), ops("cpu"), head.load("hallucination"), {"bot": {"prompts": prompts}})
    asked = [Item("Where is the harbour?", (), "", known="bot"), Item("Bake me a cake.", (), "", known="bot")]
    assert "novelty" not in scorer.score(asked)[0].also  # not encoded yet
    while prompts.fill():
        pass
    known, new = scorer.score(asked)
    assert known.also["novelty"] == pytest.approx(0, abs=1e-3)
    assert new.also["novelty"] > 0.5
    assert "novelty" not in scorer.score([Item("Where?", (), "", known="other")])[0].also


def test_a_bank_of_nothing_says_nothing(encoder: Encoder) -> None:
    empty = Bank([], encoder, ops("cpu"))
    assert not empty.fill()
    assert empty.nearest(torch.zeros(1, 384)) is None


def test_files_have_a_text_a_line_or_objects(tmp_path: Path) -> None:
    file = tmp_path / "known.txt"
    file.write_text('Hello there.\n\n{"text": "Two\\nlines."}\n{curly} braces\n')
    assert bank.texts(file) == ["Hello there.", "Two\nlines.", "{curly} braces"]
    file.write_text("x\n" * (bank.MOST + 1))
    with pytest.raises(ValueError, match="more than"):
        bank.texts(file)
