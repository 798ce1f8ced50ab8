"""The Dockerfile: non-root, checked for health, closed by default, made with the Makefile's own steps."""

from __future__ import annotations

from pathlib import Path

import pytest
from shipping.dockerfile import parse, read

ROOT = Path(__file__).parents[2]
BUILD, FINAL = read(ROOT / "Dockerfile")


def test_it_is_built_by_the_same_step_as_a_checkout() -> None:
    assert any("make install" in each.rest for each in BUILD.instructions if each.word == "RUN")


def test_it_does_not_run_as_root() -> None:
    assert FINAL.last("USER").rest not in {"root", "0"}
    assert [each.word for each in FINAL.instructions].index("USER") > [each.word for each in FINAL.instructions].index(
        "RUN"
    )


def test_its_entrypoint_is_the_command_line() -> None:
    assert FINAL.last("ENTRYPOINT").argv == ["tidegate"]
    assert FINAL.last("CMD").argv[0] == "serve"
    assert "/healthz" in FINAL.last("HEALTHCHECK").rest


def test_everything_it_copies_is_there_and_sent_to_the_builder() -> None:
    sent = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"}
    copied = {name for each in BUILD.instructions if each.word == "COPY" for name in each.rest.split()[:-1]}
    assert copied == sent
    assert all((ROOT / name).exists() for name in copied)


def test_comments_and_continued_lines_are_read_as_a_builder_reads_them() -> None:
    (stage,) = parse('# a\nFROM x AS y\nRUN a \\\n# b\n && c\nCMD ["d"]\n')
    assert (stage.base, stage.name) == ("x", "y")
    assert [each.rest.split() for each in stage.instructions] == [["a", "&&", "c"], ['["d"]']]


def test_an_instruction_that_is_not_understood_is_refused() -> None:
    with pytest.raises(ValueError, match="ADD"):
        parse("FROM x\nADD a b\n")
