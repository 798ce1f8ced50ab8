"""How long `tidegate report` takes over a log of many lines: half exchanges, half scores, each with an id of its own.

python bench/report.py                      # 200,000 lines
python bench/report.py --lines 10000000     # 9 GB in a temporary folder
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import orjson

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "tests")]

from support.panel_data import hour  # noqa: E402 - of the tests, which the line above makes known

END = 1_795_000_199.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=200_000)
    lines: int = parser.parse_args().lines
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "events.jsonl"
        write(log, lines)
        size, began = log.stat().st_size, time.perf_counter()
        command = [sys.executable, "-m", "gateway", "report", str(log), "--by", "model"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        wall, used = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = used.ru_utime + used.ru_stime
    print(f"{lines:,} lines, {size / 1e9:.2f} GB: {wall:.1f} s, {cpu:.1f} s of CPU, {used.ru_maxrss / 1e6:.2f} GB")


def write(log: Path, lines: int) -> None:
    """An hour's events again and again, their ids counted on."""
    cut = [cut_at_id(orjson.dumps(event)) for event in hour(END)]
    with log.open("wb", buffering=1 << 22) as file:
        for n in range(lines):
            before, after = cut[n % len(cut)]
            file.write(before + b"x%08x" % (n // 2) + after)


def cut_at_id(line: bytes) -> tuple[bytes, bytes]:
    start = line.index(b'"id":"') + 6
    return line[:start], line[line.index(b'"', start) :] + b"\n"


if __name__ == "__main__":
    main()
