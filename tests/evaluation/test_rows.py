import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import ConfigError
from gateway.evaluation.near import groups
from gateway.evaluation.rows import Meaning, Row, read


def rows(folder: Path, *raw: Any, contexts: bool = True, bad: frozenset[str] | None = None) -> list[Row]:
    file = folder / "set.jsonl"
    file.write_text("".join(json.dumps(one) + "\n" for one in raw))
    return read([file], contexts=contexts, meaning=Meaning(bad))


@pytest.mark.parametrize(
    ("label", "bad"),
    [
        (1, True), (0, False), (True, True), (False, False), ("1", True), ("0.0", False), (1.0, True), ("Yes", True),
        ("SUPPORTS", False), ("Refuted", True), ("NOT ENOUGH INFO", True), ("hallucinated", True), ("PASS", False),
        ([], False), ([{"start": 1}], True), ("entailment", False), ("Not supported", True),
    ],
)  # fmt: skip
def test_labels_are_understood_however_they_are_written(tmp_path: Path, label: Any, bad: bool) -> None:
    assert rows(tmp_path, {"context": "c", "answer": "a", "label": label})[0].bad is bad


def test_labels_that_mean_bad_can_be_named(tmp_path: Path) -> None:
    found = rows(tmp_path, *({"context": "c", "answer": "a", "label": n} for n in (0, 1)), bad=frozenset({"0"}))
    assert [row.bad for row in found] == [True, False]


@pytest.mark.parametrize(
    "context", ["one\ntwo", ["one", "two"], [{"text": "one"}, {"content": "two"}], {"text": "one two"}]
)
def test_a_context_is_a_text_or_a_list(tmp_path: Path, context: Any) -> None:
    (found,) = rows(tmp_path, {"context": context, "answer": "a", "label": 0})
    assert " ".join(found.context).split() == ["one", "two"]
    assert found.question == ""


def test_other_names_of_columns_are_known(tmp_path: Path) -> None:
    (found,) = rows(tmp_path, {"doc": "d", "query": "q", "summary": "s", "label": 1, "source_id": 7})
    assert (found.context, found.question, found.answer, found.group) == (("d",), "q", "s", "7")
    (alone,) = rows(tmp_path, {"prompt": "p", "label": "benign"}, contexts=False)
    assert (alone.answer, alone.bad, alone.context) == ("p", False, ())


def test_every_problem_is_told_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "set.jsonl"
    good = '{"context": "c", "answer": "a", "label": 0}'
    file.write_text(
        "\n".join([good, "{", "[1]", '{"answer": "a", "label": 0}', good[:-1].replace("0", '"so so"') + "}"])
    )
    with pytest.raises(ConfigError) as refused:
        read([file], contexts=True)
    assert [problem.line for problem in refused.value.problems] == [2, 3, 4, 5]
    assert "not JSON" in refused.value.problems[0].message
    assert "no context" in refused.value.problems[2].message
    assert "--bad" in refused.value.problems[3].message


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read([tmp_path / "none.jsonl"], contexts=False)
    with pytest.raises(ConfigError, match="no file in this folder"):
        read([tmp_path], contexts=False)


def test_folders_tables_and_packed_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('text,label\n"one, two",1\n')
    (tmp_path / "b.json").write_text('[{"text": "three", "label": 0}]')
    (tmp_path / "c.jsonl.gz").write_bytes(gzip.compress(b'{"text": "four", "label": 1}\n'))
    (tmp_path / "notes.md").write_text("# not a set")
    assert [(row.answer, row.bad) for row in read([tmp_path], contexts=False)] == [
        ("one, two", True),
        ("three", False),
        ("four", True),
    ]


def test_texts_that_share_a_run_of_words_are_not_split() -> None:
    said = "one two three four five six seven eight nine"
    found = groups([Row(said, True), Row("short", False), Row(f"and {said.upper()}!", False), Row("short", True)])
    assert found == [0, 1, 0, 1]


def test_rows_of_one_context_or_group_are_not_split() -> None:
    one, two = Row("a", True, ("c",)), Row("b", False, ("c",), group="g")
    three, four = Row("d", False, ("e",), group="g"), Row("a", True, ("f",))
    assert groups([one, two, three, four]) == [0, 0, 0, 3]
