"""What holds for the whole suite."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# Without a GPU kernels run under Triton's interpreter, which must be asked for before anything imports Triton.
if not Path("/dev/nvidiactl").exists():
    os.environ["TRITON_INTERPRET"] = "1"

# The same examples each time, so that a change is judged by what it changes; `make fuzz` looks for others.
# A machine that does other things is slow at making them as at all else.
_PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("fuzz", _PATIENT)
settings.register_profile("suite", _PATIENT, derandomize=True)
settings.load_profile("suite")

# A property tried this often goes over the same lines again and again; watching those doubles what the suite takes.
_OFTEN = 200


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Coverage does not watch the long searches: tests with examples by hand go over the same lines."""
    for item in items:
        if examples(item) >= _OFTEN:
            item.add_marker("no_cover")


def examples(item: pytest.Item) -> int:
    """How many examples a test makes up: 0 of one that makes up none."""
    chosen = getattr(getattr(item, "obj", None), "_hypothesis_internal_use_settings", None)
    return chosen.max_examples if chosen else 0


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """Reports as parallel runs can send them: a failure may quote half a surrogate pair, which UTF-8 cannot hold."""
    return mended((yield))


def mended(value: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-8", "backslashreplace").decode()
        case dict():
            return {mended(key): mended(each) for key, each in value.items()}
        case list():
            return [mended(each) for each in value]
        case tuple():
            return tuple(mended(each) for each in value)
        case _:
            return value
