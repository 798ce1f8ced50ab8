"""Without a GPU kernels run under Triton's interpreter, which must be asked for before a kernel is defined."""

import os
from pathlib import Path

import pytest
import torch

if not Path("/dev/nvidiactl").exists():
    os.environ["TRITON_INTERPRET"] = "1"

torch.set_num_threads(1)  # the tests' sizes gain nothing by more, and lose much where others use the machine


@pytest.fixture(scope="session")
def device() -> str:
    return "cpu" if os.environ.get("TRITON_INTERPRET") == "1" else "cuda"
