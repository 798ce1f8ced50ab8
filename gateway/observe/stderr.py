"""What libraries and our own faults say: one line on standard error from WARNING up, with no value of any variable."""

from __future__ import annotations

import logging
import traceback
from types import TracebackType
from typing import TextIO

_LONGEST = 400


class Line(logging.Formatter):
    """`WARNING uvicorn.error: message (ValueError at app.py:12 build < serve.py:40 run)`.

    Of a message only its first line is kept, of an exception its type and places: what an exception says of itself
    may quote a prompt.
    """

    def format(self, record: logging.LogRecord) -> str:
        said = record.getMessage().partition("\n")[0][:_LONGEST]
        line = f"{record.levelname} {record.name}: {said}{_where(record)}"
        return "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)


def quiet(stream: TextIO | None = None) -> None:
    """Send all of `logging` to `stream` (standard error) from WARNING up, and uvicorn's access lines nowhere."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Line())
    logging.raiseExceptions = False  # else a full disk prints the record, text and all
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate, logger.level = [], name != "uvicorn.access", logging.NOTSET


def _where(record: logging.LogRecord) -> str:
    if not record.exc_info or record.exc_info[0] is None:
        return ""
    kind, _, tb = record.exc_info
    return f" ({kind.__name__} at {_places(tb)})"


def _places(tb: TracebackType | None) -> str:
    frames = [(frame.f_code, line) for frame, line in traceback.walk_tb(tb)]
    return " < ".join(f"{code.co_filename}:{line} {code.co_name}" for code, line in reversed(frames[-8:]))
