from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.scoring import head
from gateway.scoring.head import Head


def test_a_head_is_what_was_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = Head({"novel": -2.5, "mass": 0.5}, 1.25)
    head.save(saved, tmp_path / "one.safetensors")
    monkeypatch.setattr(head, "FOLDER", tmp_path)

    assert head.load("one") == saved


@given(st.floats(-1e6, 1e6), st.floats(-1e3, 1e3))
def test_a_head_gives_a_probability(value: float, weight: float) -> None:
    assert 0 <= Head({"x": weight}, 0.0)({"x": value, "other": 1.0}) <= 1


def test_a_missing_feature_is_no_zero() -> None:
    with pytest.raises(KeyError):
        Head({"x": 1.0}, 0.0)({})
