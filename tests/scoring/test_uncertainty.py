from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gateway.scoring.agreement import agreements
from gateway.scoring.uncertainty import confidence, signals
from kernels.dispatch import ops

NATS = st.floats(-50, 0)


def test_sure_tokens_are_confident_and_even_chances_are_a_bit_of_entropy() -> None:
    assert confidence([(0.0,), (0.0,)]) == 1.0
    half = math.log(0.5)
    assert confidence([(half, half, half)]) == pytest.approx(0.5)
    assert signals([(half, half, half)])["entropy"] == pytest.approx(math.log(2), abs=1e-6)


def test_without_log_probabilities_there_is_nothing_to_say() -> None:
    assert confidence([]) is None
    assert signals([]) == {}
    assert set(signals([(-1.0,)])) == {"nll", "nll_max"}


@given(st.lists(st.lists(NATS, min_size=1, max_size=6).map(tuple), min_size=1, max_size=8))
def test_all_that_is_told_is_a_number(tokens: list[tuple[float, ...]]) -> None:
    assert 0 <= (confidence(tokens) or 0) <= 1
    told = signals(tokens)
    assert all(math.isfinite(value) and value >= -1e-6 for value in told.values())
    assert told["nll"] <= told["nll_max"] + 1e-4


def test_prompts_with_different_numbers_of_samples_are_told_apart_in_their_order() -> None:
    left, right = torch.eye(4, 64)[:2], torch.eye(4, 64)[2:]
    found = agreements([[left, right], [left, left, left], [left, left]], ops("cpu"))
    assert [agreement for agreement, _ in found] == pytest.approx([0, 1, 1])
    assert [entropy for _, entropy in found] == pytest.approx([math.log(2), 0, 0])
