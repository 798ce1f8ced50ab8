"""Without a GPU the interpreter checks what kernels compute, and the compiler that they would run on one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SHARED = 227 * 1024  # bytes one program may have, CUDA programming guide, compute capability 9.0


@pytest.mark.engine
def test_every_kernel_compiles_for_hopper_within_its_memory(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    root = Path(__file__).parents[2]
    paths = {"PYTHONPATH": str(root), "TRITON_CACHE_DIR": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("hopper.py"))],
        env={**environment, **paths}, capture_output=True, text=True, check=True, timeout=600,
    )  # fmt: skip
    compiled = [json.loads(line) for line in run.stdout.splitlines()]

    assert len({one["kernel"] for one in compiled}) == 8
    assert [one for one in compiled if one["shared"] > SHARED] == []
    # The tensor cores' own instruction of this chip: the older one runs at half the rate.
    matrix = {"_ragged_maxsim_stats", "_similarity_topk", "_pairwise_consistency", "_varlen_attention"}
    assert [one for one in compiled if one["kernel"] in matrix and not one["wgmma"]] == []
