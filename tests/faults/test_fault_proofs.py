"""The table itself: it is whole, and what it says of tests that stand elsewhere is so."""

from __future__ import annotations

from pathlib import Path

import pytest
from faults.__main__ import page
from faults.entry import Entry
from faults.table import ENTRIES

ROOT = Path(__file__).parents[2]


def test_the_table_is_whole() -> None:
    assert [entry.number for entry in ENTRIES] == list(range(1, 157))
    assert all(entry.tries or entry.proofs or entry.apart for entry in ENTRIES)


@pytest.mark.parametrize("entry", [e for e in ENTRIES if e.proofs], ids=lambda e: str(e.number))
def test_what_is_said_to_be_shown_elsewhere_is_a_test_there(entry: Entry) -> None:
    for proof in entry.proofs:
        file, _, name = proof.partition("::")
        assert f"def {name}(" in (ROOT / file).read_text(), proof


def test_the_page_has_the_table_as_it_is() -> None:
    assert page() in (ROOT / "docs" / "faults.md").read_text()
