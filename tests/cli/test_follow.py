"""Following a file: every whole line once, in order, whatever happens to the file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.cli.follow import Follower


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "f.jsonl"


@pytest.fixture
def follower(file: Path) -> Iterator[Follower]:
    with Follower(file) as follower:
        yield follower


def append(file: Path, data: bytes) -> None:
    with file.open("ab") as opened:
        opened.write(data)


def test_a_file_that_is_not_there_is_waited_for(file: Path, follower: Follower) -> None:
    assert (follower.lines(), follower.there) == ([], False)
    append(file, b"one\n")
    assert (follower.lines(), follower.there) == ([b"one"], True)


def test_half_a_line_is_kept_until_its_end_comes(file: Path, follower: Follower) -> None:
    append(file, b"one\ntw")
    assert follower.lines() == [b"one"]
    append(file, b"o\n")
    assert follower.lines() == [b"two"]


def test_a_rotated_file_is_read_to_its_end_before_the_next(file: Path, follower: Follower) -> None:
    append(file, b"one\n")
    assert follower.lines() == [b"one"]
    append(file, b"two\n")
    file.rename(file.with_suffix(".1"))
    append(file, b"three\n")
    assert follower.lines() == [b"two"]
    assert follower.lines() == [b"three"]


def test_a_line_that_its_file_never_ended_is_given_when_the_next_file_begins(file: Path, follower: Follower) -> None:
    append(file, b"one\ntw")
    follower.lines()
    file.rename(file.with_suffix(".1"))
    append(file, b"three\n")
    assert follower.lines() == [b"tw", b"three"]


def test_a_long_file_is_read_in_pieces(file: Path, follower: Follower, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.cli.follow._AT_ONCE", 10)
    append(file, b"first\nsecond\nthird\n")
    assert [follower.lines() for _ in range(3)] == [[b"first"], [b"second", b"third"], []]


def test_what_is_still_written_to_a_moved_file_is_seen(file: Path, follower: Follower) -> None:
    append(file, b"one\n")
    follower.lines()
    moved = file.rename(file.with_suffix(".1"))
    append(moved, b"two\n")
    assert follower.lines() == [b"two"]


def test_a_truncated_file_is_read_anew(file: Path, follower: Follower) -> None:
    append(file, b"one\ntwo\n")
    follower.lines()
    file.write_bytes(b"3\n")
    assert follower.lines() == [b"3"]


def test_a_removed_file_is_waited_for_again(file: Path, follower: Follower) -> None:
    append(file, b"one\n")
    follower.lines()
    file.unlink()
    assert follower.lines() == []
    append(file, b"two\n")
    assert follower.lines() == [b"two"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.binary(max_size=9), max_size=12), st.lists(st.booleans(), max_size=12))
def test_every_line_comes_once_however_it_was_written(file: Path, parts: list[bytes], looks: list[bool]) -> None:
    file.write_bytes(b"")
    found: list[bytes] = []
    with Follower(file) as follower:
        for n, part in enumerate(parts):
            append(file, part)
            if n < len(looks) and looks[n]:
                found += follower.lines()
        found += follower.lines()
    assert found == b"".join(parts).split(b"\n")[:-1]
