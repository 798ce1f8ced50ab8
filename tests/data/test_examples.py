"""From what is kept to data sets: who gets in, in which form, once, and into which part."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, cast

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.kept import RECORD, asked, exported, row, said
from typer.testing import CliRunner

from gateway.cli.commands import app
from gateway.data.dataset import balanced, split, unique
from gateway.data.examples import FORMATS, Example, Format, Left, examples, turns
from gateway.data.near import groups, jaccard, shingles
from gateway.data.store import Store


@pytest.mark.parametrize(("form", "rows"), [("trl-sft", 40), ("trl-dpo", 20), ("kto", 70), ("inspect", 40)])
def test_what_was_judged_gets_in(kept: Path, tmp_path: Path, form: str, rows: int) -> None:
    found = exported(kept, form, tmp_path / "set")
    assert len(found) == rows
    manifest = orjson.loads((tmp_path / "set" / "manifest.json").read_bytes())
    assert (manifest["format"], manifest["rows"]) == (form, rows)
    assert f"`{manifest['digest']}`" in (tmp_path / "set" / "README.md").read_text()


def test_a_corrected_answer_is_taught_and_the_one_it_corrects_is_not(kept: Path, tmp_path: Path) -> None:
    taught = [one["messages"][-1]["content"] for one in exported(kept, "openai", tmp_path / "set")]
    assert {text.split()[0] for text in taught} == {"Better", "Answer"}
    assert not any(text.startswith("Answer 0 ") for text in taught)
    judged = Counter(one["label"] for one in exported(kept, "kto", tmp_path / "kto"))
    assert judged == {True: 40, False: 30}
    for one in exported(kept, "trl-dpo", tmp_path / "dpo"):
        assert one["chosen"][0]["content"].startswith("Better")
        assert one["rejected"][0]["content"].startswith("Answer")


def test_what_nobody_judged_gets_in_if_asked_for_and_duplicates_do_not(kept: Path, tmp_path: Path) -> None:
    assert len(exported(kept, "trl-sft", tmp_path / "set", "--unjudged")) == 50
    assert "4 the same" in (tmp_path / "set" / "README.md").read_text()


def test_the_same_store_gives_the_same_bytes(kept: Path, tmp_path: Path) -> None:
    assert exported(kept, "trl-sft", tmp_path / "a") == exported(kept, "trl-sft", tmp_path / "b")


def test_what_a_golden_set_asks_is_left_out(kept: Path, tmp_path: Path) -> None:
    golden = tmp_path / "golden.jsonl"
    golden.write_bytes(orjson.dumps({"question": asked(2), "label": "right"}))
    found = exported(kept, "trl-sft", tmp_path / "set", "--without", str(golden))
    assert len(found) == 39
    assert asked(2) not in {one["messages"][0]["content"] for one in found}


def test_an_empty_store_gives_no_data_set(tmp_path: Path) -> None:
    Store.open(tmp_path / "data.db").db.close()
    done = CliRunner().invoke(app, ["export", "--format", "kto", "--file", str(tmp_path / "data.db"), "--out", "x"])
    assert done.exit_code == 1
    assert "nothing to export" in done.output


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"record": {**RECORD, "endpoint": "/embeddings"}}, "not a conversation"),
        ({"texts": {"truncated": True, "input": [], "output": []}}, "truncated"),
        ({"texts": {"input": [{"role": "user", "channel": "tool", "text": "x"}]}}, "tools, documents or refusals"),
        ({"texts": {"input": [{"role": "tool", "channel": "content", "text": "x"}]}}, "tools, documents or refusals"),
        ({"texts": {"input": []}}, "no question"),
    ],
)
def test_what_cannot_be_told_faithfully_is_left_out_and_counted(more: dict[str, Any], why: str) -> None:
    left = Left()
    assert not (turns([(row(1, "?", "!", **more), [])], left))
    assert left.why == {why: 1}


def test_a_refused_answer_is_never_taught() -> None:
    found = turns([(row(1, "?", "!", record={**RECORD, "verdict": "redact"}), [said(1, value=1.0)])], Left())
    assert [one.label for one in found] == ["bad"]
    assert not examples(found, "openai", Left(), unjudged=True)


def some(texts: list[str]) -> list[Example]:
    found = turns([(row(n, text, "Certainly."), [said(n, value=1.0)]) for n, text in enumerate(texts)], Left())
    return examples(found, "openai", Left())


@given(st.lists(st.text("abc ", min_size=1, max_size=30), min_size=1, max_size=40), st.sampled_from(range(3)))
def test_no_conversation_is_in_two_parts(texts: list[str], shape: int) -> None:
    shares = [(0.8, 0.1, 0.1), (0.4, 0.3, 0.3), (1.0, 0.0, 0.0)][shape]
    found = some(texts)
    parts = split(found, shares)
    assert Counter(id(one) for part in parts.values() for one in part) == Counter(map(id, found))
    openings = [{one.opening for one in part} for part in parts.values()]
    assert not any(openings[a] & openings[b] for a, b in ((0, 1), (0, 2), (1, 2)))
    assert parts["train"]


def test_parts_have_about_their_shares() -> None:
    parts = split(some([asked(n) for n in range(400)]), (0.8, 0.1, 0.1))
    assert [len(parts[part]) for part in ("train", "validation", "test")] == pytest.approx([320, 40, 40], abs=25)


def test_almost_the_same_is_one() -> None:
    long = "The quick brown fox jumps over the lazy dog while the band plays on and nobody in the house can sleep"
    found = some([long, long + " tonight", long.upper(), "Something else entirely about glaciers", asked(3)])
    once = unique(found)
    assert [one.id for one in once.kept] == ["req_0", "req_3", "req_4"]
    assert (once.same, once.near) == (0, 2)


@given(st.lists(st.text("abcd ", max_size=20), max_size=12))
def test_who_is_in_one_group_is_alike_or_has_somebody_between(texts: list[str]) -> None:
    first = groups(texts, alike=1.0)
    for a, one in enumerate(texts):
        for b, other in enumerate(texts[:a]):
            assert (first[a] == first[b]) == (jaccard(shingles(one), shingles(other)) == 1.0)


def test_classes_are_balanced_by_the_rarest() -> None:
    found = [*some([asked(n) for n in range(9)])]
    told = [(row(n, asked(n), "!", topic="t" if n < 3 else ""), [said(n, value=1.0)]) for n in range(9)]
    found = examples((turns(told, Left())), "openai", Left())
    assert Counter(one.topic for one in balanced(found, "topic")) == {"t": 3, "": 3}


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_is_json_of_strings_and_roles(kept: Path, form: str) -> None:
    with Store.open(kept, write=False) as store:
        found = examples((turns(store.rows(), Left())), cast("Format", form), Left())
    assert all(orjson.loads(one.line) == one.value for one in found)
