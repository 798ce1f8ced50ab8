"""A store with exchanges in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.kept import stored


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """See `support.kept.stored`."""
    return stored(tmp_path)
