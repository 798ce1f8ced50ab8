"""Reading YAML: plain values with their lines, and nothing that could surprise."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.config.document import LARGEST, Document, read


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "f.yaml"


def problem(document: Document) -> tuple[int, str]:
    (only,) = document.problems
    return only.line, only.message


def reading(file: Path, text: str | bytes) -> Document:
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read(file)


def test_every_value_knows_its_line(file: Path) -> None:
    document = reading(file, "a: 1\nb:\n  - x\n  - {c: true,\n     d: 2.5}\n")
    assert document.value == {"a": 1, "b": ("x", {"c": True, "d": 2.5})}
    places = {("a",): 1, ("b",): 2, ("b", 0): 3, ("b", 1): 4, ("b", 1, "c"): 4, ("b", 1, "d"): 5}
    assert {place: document.line(place) for place in places} == places


def test_what_is_not_there_has_the_line_of_what_is_around_it(file: Path) -> None:
    document = reading(file, "a: 1\nb:\n  c: 1\n")
    assert document.line(("b", "missing", 3)) == 2
    assert document.line(("missing",)) == 1


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", 1, "empty"),
        ("# only words\n", 1, "empty"),
        ("a: 1\nb: [1, 2\n", 3, "not YAML"),
        ("a: 1\n\tb: 2\n", 2, "not YAML"),
        ("a: 1\n--- \nb: 2\n", 2, "not YAML: expected a single document"),
        ("a: *b\n", 1, "not YAML"),
        ("a: 1\nb: 2\na: 3\n", 3, "a: stands twice; the first is on line 1"),
        ("a:\n  b: 1\n  b: 2\n", 3, "a.b: stands twice; the first is on line 2"),
        ("a: 1\n1: 2\n", 2, "keys are text"),
        ("a: 1\n? [x]\n: 2\n", 2, "keys are text"),
        ("a: !!python/object/apply:os.system ['true']\n", 1, "a: tags such as '!!python/object/apply:os.system' are"),
        ("a: !!python/name:os.system\n", 1, "a: tags such as '!!python/name:os.system' are not read"),
        ("a: !own 1\n", 1, "a: tags such as '!own' are not read"),
        ("a: !!set {b}\n", 1, "a: tags such as '!!set' are not read"),
        ("a: &a [*a]\n", 1, "a[0]: contains itself"),
        ("a: &a {b: 1, <<: *a}\n", 1, "a: `<<` takes mappings"),
        ("x: 1\na: .inf\n", 2, "a: should be a finite number"),
        ("x: 1\na: .nan\n", 2, "a: should be a finite number"),
        ("a: 2026-02-30\n", 1, "a: not a value of its type"),
        (b"a: 1\nb: \xff\xfe\n", 2, "not UTF-8 text"),
        (b"a: 1\nb: \x00\n", 2, "character #x0000 may not stand in YAML"),
        (b"a: 1\nb: \x1b[2J\n", 2, "character #x001b may not stand in YAML"),
        ("[" * 100_000, 1, "nested too deeply"),
        (b"a" * (LARGEST + 1), 1, "larger than 1,048,576 bytes"),
    ],
)
def test_a_file_that_is_not_plain_yaml_is_one_problem_with_a_line(
    file: Path, text: str | bytes, line: int, words: str
) -> None:
    found = problem(reading(file, text))
    assert found[0] == line
    assert found[1].startswith(words)


def test_aliases_are_read_while_they_stay_small(file: Path) -> None:
    document = reading(file, "a: &x {b: 1, c: 2}\nd: *x\ne:\n  c: 3\n  <<: *x\nf: {<<: [{b: 4}, *x]}\n")
    assert document.problems == []
    assert document.value["d"] == {"b": 1, "c": 2}
    assert document.value["e"] == {"b": 1, "c": 3}
    assert document.value["f"] == {"b": 4, "c": 2}
    assert document.line(("e", "c")) == 4


@pytest.mark.parametrize("level", ["[{}]", "{{<<: [{}]}}"], ids=["lists", "merges"])
def test_a_billion_laughs_are_not_laughed(file: Path, level: str) -> None:
    bomb = ["a0: &a0 {lol: lol}"]
    bomb += [f"a{n}: &a{n} " + level.format(", ".join([f"*a{n - 1}"] * 10)) for n in range(1, 12)]
    assert problem(reading(file, "\n".join(bomb)))[1] == "unfolds to more than 100,000 values"


def test_what_is_not_a_file_is_a_problem(tmp_path: Path) -> None:
    assert problem(read(tmp_path / "absent.yaml"))[1] == "cannot be read: No such file or directory"
    assert problem(read(tmp_path)) == (1, "not a file")
    os.mkfifo(tmp_path / "pipe")
    assert problem(read(tmp_path / "pipe")) == (1, "not a file")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=200) | st.text("ab:-[]{}&*<!|>'\"#%@`?,\n\t ~0123.", max_size=80).map(str.encode))
def test_any_bytes_are_a_value_or_problems(file: Path, raw: bytes) -> None:
    document = reading(file, raw)
    assert document.problems or document.value is not None
    assert all(1 <= p.line <= raw.count(b"\n") + raw.count(b"\r") + 2 for p in document.problems)
