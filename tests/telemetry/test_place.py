"""What is kept across restarts: how far a destination got, and which trace an exchange belongs to."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.observe.spool import Mark, before
from gateway.telemetry import traces
from gateway.telemetry.place import PROCESSES, Place, locked
from gateway.telemetry.traces import Traces

TRACE = "0af7651916cd43dd8448eb211c80319c"


def test_a_place_is_as_it_was_kept(tmp_path: Path) -> None:
    place = Place.read(tmp_path / "otlp.json")
    assert place.mark is None
    place.seqs.update(dict.fromkeys(range(PROCESSES + 10), 7))
    place.keep(Mark(12, 34))
    again = Place.read(tmp_path / "otlp.json")
    assert again.mark == Mark(12, 34)
    assert [*again.seqs] == [*range(10, PROCESSES + 10)]


@pytest.mark.parametrize(
    "said", [b"", b"{", b"[]", b"null", b'{"inode": "x"}', b'{"inode": 1, "offset": 2, "seqs": 3}']
)
def test_what_is_no_place_is_none(tmp_path: Path, said: bytes) -> None:
    (tmp_path / "otlp.json").write_bytes(said)
    assert Place.read(tmp_path / "otlp.json").mark is None


def test_a_lock_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    first = locked(tmp_path / "state" / "otlp.lock")
    assert first
    assert locked(tmp_path / "state" / "otlp.lock") is None
    first.close()
    again = locked(tmp_path / "state" / "otlp.lock")
    assert again
    again.close()


def test_traces_are_found_again_and_their_files_stay_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "BOUND", 500)
    path, noted = tmp_path / "traces", Traces(tmp_path / "traces")
    for n in range(40):
        noted.note(f"req_{n}", TRACE)
    assert noted.of("req_0") == TRACE
    assert noted.of("req_x") == ""
    again = Traces(path)
    assert again.of("req_39") == TRACE
    assert again.of("req_0") == ""
    assert path.stat().st_size + before(path).stat().st_size < 1200


def test_a_line_that_was_torn_is_no_trace(tmp_path: Path) -> None:
    (tmp_path / "traces").write_text(f"req_1 {TRACE}\nreq_2 {TRACE[:20]}")
    found = Traces(tmp_path / "traces")
    assert (found.of("req_1"), found.of("req_2")) == (TRACE, "")


def test_traces_that_cannot_be_written_are_known_while_the_process_lives(tmp_path: Path) -> None:
    found = Traces(tmp_path / "nowhere" / "traces")
    found.note("req_1", TRACE)
    assert found.of("req_1") == TRACE
