"""The log: one line an event, whatever is in it, and never an exception on the path of a request."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from support.exchanges import finished

from gateway.observe import sink
from gateway.observe.log import Log, open_log
from gateway.record import completed, started

HOSTILE = [
    '\n{"level":"info","fake":1}',
    "\r",
    "\x1b[2J",
    "\x1b]0;t\x07",
    "\u2028",
    "\x00",
    "\ud800",
    "%n%s",
    "${jndi:ldap://x}",
    "x" * 1_048_576,
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "var" / "events.jsonl"


def lines(path: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines() if line]


def failed(name: str) -> dict[str, Any]:
    return {"worker": name, "reason": "exit 1"}


def test_an_event_is_a_line_that_opens_with_name_and_time(path: Path) -> None:
    with open_log(str(path), strict=True, now=lambda: 1_767_323_045_000_006_789) as log:
        assert log.emit("worker.failed", **failed("a"))
    raw = path.read_bytes()
    assert raw.startswith(b'{"event":"worker.failed","ts":"2026-01-02T03:04:05.000006Z","process":')
    assert raw.endswith(b"}\n")


def test_both_events_of_an_exchange_can_be_logged(path: Path) -> None:
    with open_log(str(path), strict=True) as log:
        log.emit("exchange.started", **started(finished()))
        log.emit("exchange.completed", **completed(finished()))
    first, second = lines(path)
    assert (first["seq"], second["seq"]) == (1, 2)
    assert second["judgements"][0]["rail"] == "secrets"


def test_a_strict_log_refuses_what_the_catalogue_does_not_have(path: Path) -> None:
    with open_log(str(path), strict=True) as log:
        with pytest.raises(KeyError):
            log.emit("made.up")
        with pytest.raises(ValidationError):
            log.emit("worker.failed", worker="a", reason=1)


def test_bound_fields_are_in_every_event(path: Path) -> None:
    with open_log(str(path)) as log:
        log.bind(worker="b").emit("worker.failed", reason="exit 1")
    assert lines(path)[0]["worker"] == "b"


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_no_string_breaks_out_of_its_line(path: Path, text: str) -> None:
    with open_log(str(path)) as log:
        assert log.emit("worker.failed", **failed(text))
        assert log.dropped == 0
    raw = path.read_bytes()
    assert raw.count(b"\n") == 1
    assert not re.search(rb"[\x00-\x09\x0b-\x1f]", raw)
    assert lines(path)[0]["worker"] == text.encode("utf-8", "replace").decode()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec=None)), inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_emitting_never_raises_and_never_tears_a_line(value: object) -> None:
    read, write = os.pipe()
    with os.fdopen(read, "rb") as reader:
        log = Log(sink.Sink(write), [lambda _s, _m, f: f, _line()], {})
        log.emit("x", value=value)
        os.close(write)
        raw = reader.read()
    assert raw.count(b"\n") == len(raw.splitlines()) <= 1


def _line() -> Any:
    from gateway.observe import log  # noqa: PLC0415  # the chain's last step is private

    return log._line


def endless() -> list[Any]:
    inner: list[Any] = []
    inner.append(inner)
    return inner


@pytest.mark.parametrize("value", [object(), {1, 2}, endless()], ids=["object", "set", "endless"])
def test_what_is_not_json_is_dropped_and_counted(path: Path, value: object, capfd: pytest.CaptureFixture[str]) -> None:
    with open_log(str(path)) as log:
        assert log.emit("worker.failed", upstream=value) is False
        assert log.dropped == 1
        assert log.emit("worker.failed", **failed("a"))
    assert [line["seq"] for line in lines(path)] == [2]
    assert capfd.readouterr().err.count("events are being lost") == 1


def test_a_full_disk_is_counted_and_said_once(capfd: pytest.CaptureFixture[str]) -> None:
    with open_log("/dev/full") as log:
        assert [log.emit("worker.failed", **failed("secret-text")) for _ in range(3)] == [False] * 3
        assert log.dropped == 3
    err = capfd.readouterr().err
    assert err.count("\n") == 1
    assert "ENOSPC" in err
    assert "secret-text" not in err


def test_after_half_a_line_the_next_one_stands_alone(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, room = os.write, [10]

    def disk(fd: int, data: bytes) -> int:
        if fd == 2:
            return len(data)
        if not room:
            return write(fd, data)
        if not (left := room[0]):
            raise OSError(28, "No space left on device")
        room[0] = max(0, left - len(data))
        return write(fd, data[:left])

    with open_log(str(path)) as log:
        monkeypatch.setattr("os.write", disk)
        assert log.emit("worker.failed", **failed("a")) is False
        room.clear()
        assert log.emit("worker.failed", **failed("b"))
    torn, whole = path.read_bytes().splitlines()
    assert torn == b'{"event":"'
    assert orjson.loads(whole)["worker"] == "b"


@pytest.mark.parametrize("move", [Path.unlink, lambda p: p.rename(p.with_suffix(".1"))], ids=["removed", "moved"])
def test_a_rotated_file_is_made_anew(path: Path, monkeypatch: pytest.MonkeyPatch, move: Any) -> None:
    monkeypatch.setattr("gateway.observe.sink._LOOK_S", 0)
    with open_log(str(path)) as log:
        log.emit("worker.failed", **failed("a"))
        move(path)
        log.emit("worker.failed", **failed("b"))
        log.emit("worker.failed", **failed("c"))
    assert [line["worker"] for line in lines(path)] == ["b", "c"]


def test_only_the_owner_may_read_the_file(path: Path) -> None:
    with open_log(str(path)):
        assert path.stat().st_mode & 0o777 == 0o600


def test_a_closed_pipe_is_not_an_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    os.close(read)
    closed = sink.Sink(write)
    assert closed.write(b"{}\n") is False
    assert closed.dropped == 1
    closed.close()


def test_a_sleeping_reader_costs_its_patience_once() -> None:
    read, write = os.pipe()
    pipe = sink.Sink(write)
    while pipe.write(b"x" * 4095 + b"\n"):
        pass
    assert pipe._patience == 0  # from here on nobody waits
    assert pipe.write(b"lost\n") is False
    os.read(read, 65_536)
    assert pipe.write(b"back\n") is True
    assert pipe._patience > 0
    pipe.close()
    os.close(read)


def test_standard_output_is_a_log_too(capfd: pytest.CaptureFixture[str]) -> None:
    with open_log("-") as log:
        log.emit("worker.failed", **failed("a"))
    assert orjson.loads(capfd.readouterr().out)["worker"] == "a"


def test_threads_and_logs_that_share_a_file_do_not_mix_lines(path: Path) -> None:
    def work(log: Log, name: str) -> None:
        for _ in range(200):
            log.emit("worker.failed", **failed(name * 3000))

    with open_log(str(path)) as one, open_log(str(path)) as two:
        threads = [threading.Thread(target=work, args=(log, name)) for log in (one, two) for name in "ab"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(lines(path)) == 800


def test_an_acknowledged_event_survives_kill_9(path: Path) -> None:
    code = (
        "import sys\nfrom gateway.observe.log import open_log\n"
        "with open_log(sys.argv[1]) as log:\n"
        "    for n in range(10**9):\n"
        "        log.emit('worker.failed', upstream=str(n), away_s=1.0) and print(n, flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        while int(child.stdout.readline()) < 500:
            pass
        child.send_signal(signal.SIGKILL)
        acknowledged = [500, *map(int, child.stdout.read().split(b"\n")[:-1])]
    assert len(lines(path)) > acknowledged[-1] >= 500
