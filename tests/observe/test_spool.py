from contextlib import closing
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from gateway.observe.spool import Lines, Record, Records, Spool, before, decoded, encoded

RECORDS = st.lists(st.builds(Record, st.dictionaries(st.text(max_size=5), st.integers(0, 9)), st.binary(max_size=60)))


@given(RECORDS, st.lists(st.integers(0, 400)))
def test_records_come_out_as_they_went_in_however_they_are_split(records: list[Record], cuts: list[int]) -> None:
    data = b"".join(map(encoded, records))
    found, rest, last = [], b"", 0
    for cut in [*sorted(cuts), len(data)]:
        new, rest = decoded(rest + data[last:cut])
        found += new
        last = max(last, min(cut, len(data)))
    assert found == records


@given(RECORDS, RECORDS, st.binary(max_size=30).filter(lambda junk: b"T" not in junk))
def test_what_is_torn_is_passed_over(first: list[Record], second: list[Record], junk: bytes) -> None:
    data = b"".join([*map(encoded, first), junk, *map(encoded, second)])
    assert decoded(data)[0] == first + second


def test_a_reader_goes_on_where_it_stood_also_in_a_file_that_was_moved(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    spool = Spool(path, bound=300)
    records = [Record({"n": n}, bytes(20)) for n in range(14)]
    reader = Records(path)
    seen = []
    for record in records[:3]:
        spool.put([record])
    seen += reader.read()
    mark = reader.mark
    reader.close()
    for record in records[3:]:
        spool.put([record])
    assert before(path).exists()
    with closing(Records(path, mark)) as again:
        while new := again.read():
            seen += new
    assert seen == records
    assert path.stat().st_size < 300


def test_whoever_is_too_far_behind_loses_the_oldest_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    spool, reader = Spool(path, bound=100), Records(path)
    spool.put([Record({"n": 0}, b"")])
    assert [record.head["n"] for record in reader.read()] == [0]
    mark = reader.mark
    reader.close()
    for n in range(1, 60):
        spool.put([Record({"n": n}, bytes(20))])
    seen: list[int] = []
    with closing(Records(path, mark)) as late:
        while new := late.read():
            seen += [record.head["n"] for record in new]
    assert seen == [] or seen == [*range(seen[0], 60)]


def test_a_spool_that_cannot_be_written_counts(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    spool = Spool(tmp_path / "file" / "spool")
    spool.put([Record({}, b"")])
    assert spool.dropped == 1


def test_lines_are_read_across_a_rotation_and_after_a_restart(tmp_path: Path) -> None:
    log = tmp_path / "events"
    log.write_bytes(b"one\ntwo\nhal")
    with closing(Lines(log)) as lines:
        assert lines.read() == [b"one", b"two"]
        mark = lines.mark
        with log.open("ab") as file:
            file.write(b"f\n")
        with closing(Lines(log, mark)) as again:
            assert again.read() == [b"half"]
        assert lines.read() == [b"half"]
        log.rename(tmp_path / "events.old")
        log.write_bytes(b"three\n")
        assert lines.read() == [b"three"]
    with closing(Lines(log, mark)) as late:
        assert late.read() == [b"three"]
