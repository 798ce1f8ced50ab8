"""Workers that run a small engine of our own."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.workers import Start, started

from gateway.worker.supervisor import Host

ENGINES = str(Path(__file__).parent / "engines")


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short, because the name of a Unix socket may have 107 bytes."""
    path = Path(tempfile.mkdtemp(prefix="tw"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def host(folder: Path) -> Callable[..., Host]:
    def make(spec: Any = None, **room: int) -> Host:
        return Host("echo", "echoing", spec or {}, folder / "w.sock", {"PYTHONPATH": ENGINES}, **room)

    return make


@pytest.fixture
def start(host: Callable[..., Host]) -> Start:
    """Start a worker and a client of it."""
    return lambda spec=None, **room: started(host(spec, **room))
