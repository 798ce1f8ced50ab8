"""What libraries say: one line each, from WARNING up, without what a variable held."""

from __future__ import annotations

import asyncio
import errno
import io
import logging
from collections.abc import Iterator

import pytest

from gateway.observe.stderr import Line, quiet


@pytest.fixture
def said() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before, level, raises = root.handlers[:], root.level, logging.raiseExceptions
    root.handlers = []
    stream = io.StringIO()
    quiet(stream)
    yield stream
    root.handlers, root.level, logging.raiseExceptions = before, level, raises


def test_less_than_a_warning_is_not_said(said: io.StringIO) -> None:
    logging.getLogger("lib").info("a body")
    logging.getLogger("uvicorn.access").info("GET /v1/models?key=sk-1 200")
    assert said.getvalue() == ""


def test_an_exception_is_its_type_and_its_places(said: io.StringIO) -> None:
    prompt = "CANARY"
    try:
        int(prompt)
    except ValueError:
        logging.getLogger("lib").exception("it broke")
    line = said.getvalue()
    assert "ERROR lib: it broke (ValueError at " in line
    assert "test_an_exception_is_its_type_and_its_places" in line
    assert "CANARY" not in line
    assert line.count("\n") == 1


@pytest.mark.parametrize("text", ["a\nb: CANARY", "a\r\nCANARY"])
def test_only_the_first_line_of_a_message_is_said(said: io.StringIO, text: str) -> None:
    logging.getLogger("lib").error(text)
    assert "CANARY" not in said.getvalue()


def test_control_characters_are_escaped() -> None:
    record = logging.LogRecord("lib", logging.ERROR, "", 0, "\x1b[2J\x00\ud800\u2028", (), None)
    assert Line().format(record) == "ERROR lib: \\x1b[2J\\x00\\ud800\\u2028"


async def test_a_task_whose_exception_nobody_took_does_not_tell_it(said: io.StringIO) -> None:
    async def broken() -> None:
        raise ValueError("CANARY")

    task = asyncio.create_task(broken())
    await asyncio.wait([task])
    del task
    assert "Task exception was never retrieved (ValueError at " in said.getvalue()
    assert "CANARY" not in said.getvalue()


class Full(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_stream_that_is_full_says_nothing_elsewhere(capfd: pytest.CaptureFixture[str], said: io.StringIO) -> None:
    quiet(Full())
    logging.getLogger("lib").error("CANARY")
    assert "CANARY" not in "".join(capfd.readouterr())
