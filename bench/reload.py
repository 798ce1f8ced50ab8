"""Files that change while the gateway serves: 200 changes, half of them broken, in 20,000 exchanges.

Every exchange must be judged by one whole version of the policies and none may be lost; ends with 1 if it is not so.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.operated import Site
from support.reloading import CLIENTS, Run, run
from support.scripted import scripted


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--reloads", type=int, default=200)
    parser.add_argument("--exchanges", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=2, help="HTTP processes")
    args = parser.parse_args()
    began = time.monotonic()
    result = asyncio.run(_measured(args.reloads, args.exchanges, args.workers))
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"{args.workers} HTTP processes, {CLIENTS} clients, {time.monotonic() - began:.0f} s in all")
    print(*_figures(result), sep="\n")
    print(*result.wrong[:20], sep="\n")
    return 1 if result.wrong else 0


async def _measured(reloads: int, exchanges: int, workers: int) -> Run:
    with tempfile.TemporaryDirectory(prefix="tidegate-reload-") as folder:
        async with scripted() as model:
            site = Site(Path(folder))
            return await run(site, model.base_url, reloads=reloads, exchanges=exchanges, workers=workers)


def _figures(result: Run) -> list[str]:
    blocked = sum(heard.error == "content_filter" for heard in result.heard)
    return [
        f"{len(result.heard):,} exchanges under {len(result.versions)} versions, {blocked:,} of them blocked",
        f"exchanges that were lost or judged otherwise than by one version: {len(result.wrong)}",
        f"an exchange took            {_spread([heard.seconds for heard in result.heard], 1000)} ms",
        f"from saving to taking over  {_spread(result.reload_s)} s, {len(result.reload_s)} times",
        f"from saving to refusing     {_spread(result.refuse_s)} s, {len(result.refuse_s)} times",
    ]


def _spread(seconds: Sequence[float], scale: float = 1) -> str:
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return f"p50 {cuts[49] * scale:.2f}, p99 {cuts[98] * scale:.2f}, most {max(seconds) * scale:.2f}"


if __name__ == "__main__":
    sys.exit(main())
