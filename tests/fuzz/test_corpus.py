"""Every input that is kept, once more through its target: those that were found, and seeds."""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzz.targets import TARGETS

CORPUS = Path(__file__).with_name("corpus")
SMALL = 4096  # bytes of one input


@pytest.mark.parametrize("name", TARGETS)
def test_what_was_found_once_is_not_found_again(name: str) -> None:
    inputs = sorted((CORPUS / name).iterdir())
    assert inputs
    for each in inputs:
        TARGETS[name](each.read_bytes())


def test_the_corpus_is_small_and_of_known_targets() -> None:
    assert {folder.name for folder in CORPUS.iterdir()} == set(TARGETS)
    assert all(each.stat().st_size <= SMALL for folder in CORPUS.iterdir() for each in folder.iterdir())
