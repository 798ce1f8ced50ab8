"""Every kernel on a GPU: right on fresh random input, then how fast, beside what torch and others have; a CSV.

    python bench/gpu_kernels.py [--minutes 8] [--tune] [--only maxsim,similarity]

Times are medians of CUDA graph replays over rotated buffers that together exceed the second-level cache. The ceilings,
a large copy and a large bf16 product, are measured in the same run. Rivals that are not installed are left out.
Without a GPU nothing is measured and nothing written. (Not named after the package it measures, which it would hide.)
"""

from __future__ import annotations

import argparse
import csv
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch
import triton
from gpu_cases import DEVICE, HALF, MAKERS, Call, Case, cases

RESULTS = Path(__file__).parent / "results"
PRINTED = ("op", "size", "variant", "right", "us", "TFLOP_s", "TB_s", "of_copy", "of_matmul", "note")


@dataclass(frozen=True, slots=True)
class Ceilings:
    copy: float  # bytes a second, read and written
    matmul: float  # FLOP a second


def main() -> int:
    args = arguments()
    if not torch.cuda.is_available():
        print("no GPU: nothing to measure")
        return 0
    until = time.monotonic() + args.minutes * 60
    torch.manual_seed(time.time_ns() % 2**31)
    ceilings = measured_ceilings()
    print(f"{torch.cuda.get_device_name()}: copy {ceilings.copy / 1e12:.2f} TB/s, "
          f"bf16 product {ceilings.matmul / 1e12:.0f} TFLOP/s")  # fmt: skip
    rows = list(measured(cases(args.only, tune=args.tune), ceilings, until))
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"kernels-{datetime.now(UTC):%Y%m%d-%H%M%S}.csv"
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    print(file)
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--tune", action="store_true", help="try other tilings of maxsim as well")
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(MAKERS))
    return parser.parse_args()


def measured(found: Iterator[Case], ceilings: Ceilings, until: float) -> Iterator[dict[str, object]]:
    machine = {
        "commit": commit(),
        "gpu": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "triton": triton.__version__,
        "copy_TB_s": f"{ceilings.copy / 1e12:.3f}",
        "matmul_TFLOP_s": f"{ceilings.matmul / 1e12:.1f}",
    }
    for case in found:
        if time.monotonic() > until:
            print("out of time")
            return
        right = outcome(case.verify)
        for name, call in case.variants.items():
            said_right = right if name == "ours" else ""
            row = {**machine, "op": case.op, "size": case.size, "variant": name, "right": said_right}
            row |= timed(case, call, ceilings)
            print(*(row[key] for key in PRINTED), sep=" | ", flush=True)
            yield row
        torch.cuda.empty_cache()


def timed(case: Case, call: Call, ceilings: Ceilings) -> dict[str, object]:
    try:
        seconds = median_seconds(call, case.sets)
    except Exception as error:  # noqa: BLE001 - a rival that cannot run at this size is a result too
        return dict.fromkeys(("us", "TFLOP_s", "TB_s", "of_copy", "of_matmul"), "") | {"note": said(error)}
    rate, speed = case.flops / seconds, case.bytes / seconds
    return {
        "us": f"{seconds * 1e6:.1f}",
        "TFLOP_s": f"{rate / 1e12:.1f}",
        "TB_s": f"{speed / 1e12:.3f}",
        "of_copy": f"{speed / ceilings.copy:.3f}",
        "of_matmul": f"{rate / ceilings.matmul:.3f}",
        "note": "",
    }


def outcome(verify: Callable[[], None]) -> str:
    try:
        verify()
    except Exception as error:  # noqa: BLE001 - the other ops are still worth measuring
        return said(error)
    return "yes"


def said(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"


def commit() -> str:
    run = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return run.stdout.strip() or "unknown"


# Timing…


def median_seconds(call: Call, sets: int, replays: int = 15) -> float:
    """Of one call: the median over replays of a graph that goes through all sets of inputs."""
    for i in range(sets):  # compiles, tunes, and fills the caches of allocators
        call(i)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for i in range(sets):
            call(i)
    graph.replay()
    spans = []
    for _ in range(replays):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        graph.replay()
        end.record()
        end.synchronize()
        spans.append(start.elapsed_time(end) / 1e3 / sets)
    return statistics.median(spans)


def measured_ceilings() -> Ceilings:
    source = torch.randn(1 << 30, dtype=torch.float32, device=DEVICE)
    target = torch.empty_like(source)
    copy = 2 * source.nbytes / median_seconds(lambda _: target.copy_(source), 1)
    a, b = (torch.randn(8192, 8192, device=DEVICE, dtype=HALF) for _ in range(2))
    return Ceilings(copy, 2 * 8192**3 / median_seconds(lambda _: a @ b, 2))


if __name__ == "__main__":
    sys.exit(main())
