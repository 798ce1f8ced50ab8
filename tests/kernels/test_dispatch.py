import subprocess
import sys

from kernels import maxsim
from kernels.dispatch import ops


def test_a_cpu_runs_the_reference_and_a_gpu_the_kernel() -> None:
    assert ops("cpu").ragged_maxsim_stats is maxsim.ragged_maxsim_stats_torch
    assert ops("cuda").ragged_maxsim_stats is maxsim.ragged_maxsim_stats


def test_importing_kernels_imports_nothing_else() -> None:
    code = "import kernels, sys; sys.exit('torch' in sys.modules or 'triton' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
