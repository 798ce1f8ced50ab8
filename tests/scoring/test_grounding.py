from dataclasses import replace

import pytest
import torch

from gateway.scoring.grounding import Grounding, Trained
from gateway.scoring.weights import Weights
from kernels.dispatch import ops


@pytest.fixture(scope="module")
def grounding(weights: Weights) -> Grounding:
    dice = torch.Generator().manual_seed(0)
    small = replace(weights, shape=replace(weights.shape, layers=1))
    return Grounding(
        small, Trained({}, torch.randn(384, generator=dice), torch.zeros(384), (-3.0, 0.0), 48), ops("cpu")
    )


CONTEXT = ["The tower is 330 metres tall. It opened in 1889.", "It rained all day."]
CLAIMS = ["The tower opened in 1925.", "Rain.", "It is tall, and it rained all day in the old harbour town."]


def test_a_claims_support_does_not_depend_on_the_claims_beside_it(grounding: Grounding) -> None:
    together = grounding.support(CONTEXT, CLAIMS)

    assert together == pytest.approx([grounding.support(CONTEXT, [claim])[0] for claim in CLAIMS], abs=1e-4)
    assert all(0 < support < 1 for support in together)


def test_support_depends_on_the_context(grounding: Grounding) -> None:
    assert grounding.support(CONTEXT, CLAIMS) != pytest.approx(grounding.support(CONTEXT[1:], CLAIMS), abs=1e-4)


def test_nothing_said_is_not_doubted_and_no_claims_have_no_support(grounding: Grounding) -> None:
    assert grounding.support(CONTEXT, [""])[0] == pytest.approx(1)
    assert grounding.support(CONTEXT, []) == []


def test_without_context_nothing_is_supported(grounding: Grounding) -> None:
    assert grounding.support([], CLAIMS) == [0.0, 0.0, 0.0]
    assert grounding.support([""], CLAIMS) == [0.0, 0.0, 0.0]
