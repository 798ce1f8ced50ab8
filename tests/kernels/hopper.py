"""Compiles what every launcher would launch for an H100 or H200, without one: prints a JSON line a kernel.

Run as a script, outside the interpreter; `--all` for every dtype and width, which takes minutes. Launches become
compilations, of the very arguments and options they had.
"""

import json
import sys
import warnings
from collections.abc import Callable, Sequence
from itertools import product
from types import SimpleNamespace
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.runtime.jit import JITFunction

from kernels import attention, bias_gelu, consistency, maxsim, pool_norm, residual_norm, similarity, token_stats
from kernels.tile import packed

HOPPER = GPUTarget("cuda", 90, 32)
OPS = (attention, bias_gelu, consistency, maxsim, pool_norm, residual_norm, similarity, token_stats)


class Compiling(JITFunction):  # type: ignore[misc]  # triton ships no types
    """A kernel that is compiled where it would be launched."""

    def __getitem__(self, grid: Any) -> Callable[..., Any]:
        def compiled(*args: Any, **options: Any) -> None:
            kernel = self.warmup(*args, grid=grid, **options)
            ptx = kernel.asm["ptx"]
            told = {"kernel": self.__name__, "shared": kernel.metadata.shared, "wgmma": "wgmma.mma_async" in str(ptx)}
            told["bits"] = args[0].dtype.itemsize * 8
            sys.stdout.write(json.dumps(told) + "\n")

        return compiled


def prepare() -> None:
    target = SimpleNamespace(
        get_current_target=lambda: HOPPER, get_current_device=lambda: 0, get_current_stream=lambda _: 0
    )
    triton.runtime.driver.set_active(target)
    for module in OPS:
        for name, value in vars(module).items():
            if isinstance(value, JITFunction) and name.startswith("_"):
                value.__class__ = Compiling
        for name, value in (("interpreted", False), ("processors", 132), ("stored", None)):
            if hasattr(module, name):
                setattr(module, name, (lambda dtype, _: dtype) if name == "stored" else (lambda _, value=value: value))


def compile_all(dtypes: Sequence[torch.dtype], widths: Sequence[int]) -> None:
    half = torch.bfloat16
    ends, long = packed([300, 200]), packed([3000, 2000])
    more = maxsim.Extras(weights=torch.ones(500), taus=torch.ones(4))
    for dtype, d in product(dtypes, widths):
        r, c = torch.empty(500, d, dtype=dtype), torch.empty(5000, d, dtype=dtype)
        maxsim.ragged_maxsim_stats(r, c, ends, long, more)
        maxsim.ragged_maxsim_stats(r, c, packed([500]), packed([5000]), more)  # shared out, which is another path
        maxsim.ragged_maxsim_stats(r, c, packed([1] * 500), packed([10] * 500), more)  # in short tiles
        pool_norm.pool_norm(r, ends, torch.ones(500), tokens=True)
        consistency.pairwise_consistency(r, packed([125] * 4), 4, 0.8)
        similarity.similarity_topk(similarity.Rows(r[:64]), similarity.Rows(c), 8, torch.ones(2))
    r, c = r.to(half), c.to(half)
    maxsim.ragged_maxsim_stats(r[:, :384], c[:, :384], ends, long, maxsim.Extras(normalise=True))
    small = [similarity.quantised(x[:, :384].float(), torch.float8_e4m3fn) for x in (r, c)]
    scales = maxsim.Extras(r_scale=small[0].scale, c_scale=small[1].scale)
    maxsim.ragged_maxsim_stats(small[0].vectors, small[1].vectors, ends, long, scales)
    for dtype in (torch.int8, torch.float8_e4m3fn):
        similarity.similarity_topk(similarity.quantised(r[:16], dtype), similarity.quantised(c, dtype), 1)
    token_stats.token_stats(torch.empty(8, 131072, dtype=half), torch.zeros(8, dtype=torch.int64))
    attention.varlen_attention(torch.empty(500, 3, 12, 32, dtype=half), ends)
    bias_gelu.bias_gelu(torch.empty(500, 1536, dtype=half), torch.empty(1536, dtype=half))
    learnt = residual_norm.Norm(torch.empty(384, dtype=half), torch.empty(384, dtype=half), 1e-12)
    x = torch.empty(500, 384, dtype=half)
    residual_norm.residual_norm(x, learnt.shift, x, learnt)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    prepare()
    everything = "--all" in sys.argv
    compile_all(
        [torch.bfloat16, torch.float32] if everything else [torch.bfloat16],
        [128, 256, 384, 768] if everything else [384],
    )
