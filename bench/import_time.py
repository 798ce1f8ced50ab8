"""How long the HTTP process takes to import, and which packages take it. The goal: 0.6 s on a quiet machine."""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
from collections import Counter

RUNS = 7
MODULES = ("gateway.app", "gateway.front.process", "gateway.serve", "gateway.cli")
PROBE = """
from time import perf_counter, process_time
wall, cpu = perf_counter(), process_time()
import {}
print(perf_counter() - wall, process_time() - cpu)
"""


def seconds(module: str) -> tuple[float, float]:
    """Medians of wall and CPU seconds over fresh processes whose files are in the page cache."""
    runs = [child("-c", PROBE.format(module)).stdout.split() for _ in range(RUNS)]
    return statistics.median(float(wall) for wall, _ in runs), statistics.median(float(cpu) for _, cpu in runs)


def packages(module: str) -> Counter[str]:
    """Own milliseconds by top-level package."""
    spent: Counter[str] = Counter()
    for line in child("-X", "importtime", "-c", f"import {module}").stderr.splitlines():
        if found := re.fullmatch(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\w+)\S*", line):
            spent[found[2]] += int(found[1])
    return spent


def child(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *argv], check=True, capture_output=True, text=True)


if __name__ == "__main__":
    for module in MODULES:
        wall, cpu = seconds(module)
        print(f"{module:16} {wall:.3f} s, of which CPU {cpu:.3f} s (median of {RUNS})")
    print(
        "gateway.app by package, ms:",
        ", ".join(f"{k} {v / 1000:.0f}" for k, v in packages("gateway.app").most_common(10)),
    )
