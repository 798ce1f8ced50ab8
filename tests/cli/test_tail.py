"""`tidegate tail`, as a user runs it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from queue import Queue

import orjson
import pytest
from click.testing import Result
from support.exchanges import finished
from typer.testing import CliRunner

from gateway.cli.commands import app
from gateway.exchange import Exchange
from gateway.observe.log import open_log
from gateway.record import completed, started


def record(file: Path, *ids: str, verdict: str = "allow") -> None:
    with open_log(str(file), strict=True) as log:
        for name in ids:
            exchange: Exchange = finished()
            exchange.id, exchange.route, exchange.verdict = name, name, verdict
            log.emit("exchange.started", **started(exchange))
            log.emit("exchange.completed", **completed(exchange))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


def tail(file: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["tail", str(file), "--no-follow", *words])


def test_each_exchange_is_one_line_below_a_header(file: Path) -> None:
    record(file, "a", "b")
    header, *rest = tail(file).stdout.splitlines()
    assert header.startswith("time")
    assert [line.split()[2] for line in rest] == ["a", "b"]


def test_the_last_lines_are_counted_after_the_filter(file: Path) -> None:
    record(file, "a", "b", verdict="block")
    record(file, *"cdef")
    _, line = tail(file, "--where", "verdict=block", "-n", "1").stdout.splitlines()
    assert line.split()[2] == "b"


def test_json_is_every_event_as_it_is(file: Path) -> None:
    record(file, "a")
    lines = tail(file, "--json").stdout.splitlines()
    assert [orjson.loads(line)["event"] for line in lines] == ["exchange.started", "exchange.completed"]
    assert "\n".join(lines) + "\n" == file.read_text()


def test_torn_lines_are_passed_over(file: Path) -> None:
    record(file, "a")
    with file.open("ab") as log:
        log.write(b'{"event":"exch\n\n[1]\n\xff\n"text"\n')
    record(file, "b")
    assert [line.split()[2] for line in tail(file).stdout.splitlines()[1:]] == ["a", "b"]


def test_an_event_of_another_version_is_shown_and_not_fatal(file: Path) -> None:
    file.write_text('{"event":"exchange.completed","ts":"2026-01-02T03:04:05Z","verdict":"block"}\n')
    record(file, "b")
    result = tail(file)
    assert result.exit_code == 0
    assert "verdict=block" in result.stdout


def test_bad_conditions_are_bad_usage(file: Path) -> None:
    result = tail(file, "--where", "verdct=block")
    assert result.exit_code == 2
    assert "did you mean" in result.stderr


def test_no_file_is_a_problem_if_it_is_not_waited_for(file: Path) -> None:
    result = tail(file)
    assert (result.exit_code, "there is no" in result.stderr) == (1, True)


@pytest.fixture
def following(file: Path) -> Iterator[tuple[subprocess.Popen[str], Queue[str]]]:
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "gateway", "tail", str(file)]
    with subprocess.Popen(command, text=True, stdout=-1, stderr=-2, env=environment) as child:
        said: Queue[str] = Queue()
        assert child.stdout is not None
        reader = threading.Thread(target=lambda out: deque(map(said.put, out)), args=(child.stdout,))
        reader.start()
        yield child, said
        child.kill()
        reader.join()


def test_it_waits_for_the_file_and_follows_it_through_rotation(
    file: Path, following: tuple[subprocess.Popen[str], Queue[str]]
) -> None:
    child, said = following
    assert said.get(timeout=60).startswith("waiting for")
    assert said.get(timeout=60).startswith("time")
    record(file, "a")
    assert said.get(timeout=60).split()[2] == "a"
    file.rename(file.with_suffix(".1"))
    record(file, "b")
    assert said.get(timeout=60).split()[2] == "b"
    child.send_signal(signal.SIGINT)
    assert child.wait(timeout=60) == 0
