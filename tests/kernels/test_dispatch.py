import subprocess
import sys
from dataclasses import fields

from kernels.dispatch import Ops, ops

OPS = [field.name for field in fields(Ops) if field.name != "device"]


def test_a_cpu_runs_the_references_and_a_gpu_the_kernels() -> None:
    for chosen, suffix in ((ops("cpu"), "_torch"), (ops("cuda"), "")):
        assert [getattr(chosen, op).__name__ for op in OPS] == [op + suffix for op in OPS]


def test_importing_kernels_imports_nothing_else() -> None:
    code = "import kernels, sys; sys.exit('torch' in sys.modules or 'triton' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
