"""One encoder for all tests here."""

import pytest
import torch

from gateway.scoring import head
from gateway.scoring.encoder import Encoder
from gateway.scoring.reader import Reader
from gateway.scoring.scorer import Scorer
from gateway.scoring.weights import Weights, load
from kernels.dispatch import ops

torch.set_num_threads(1)  # the tests' sizes gain nothing by more, and lose much where others use the machine


@pytest.fixture(scope="session")
def weights() -> Weights:
    return load("minilm")


@pytest.fixture(scope="session")
def encoder(weights: Weights) -> Encoder:
    return Encoder(weights, ops("cpu"))


@pytest.fixture(scope="session")
def scorer(encoder: Encoder) -> Scorer:
    return Scorer(Reader(encoder), ops("cpu"), head.load("hallucination"))
