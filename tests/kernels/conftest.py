"""Kernels run on a GPU where there is one."""

import os

import pytest
import torch

torch.set_num_threads(1)  # the tests' sizes gain nothing by more, and lose much where others use the machine


@pytest.fixture(scope="session")
def device() -> str:
    return "cpu" if os.environ.get("TRITON_INTERPRET") == "1" else "cuda"
