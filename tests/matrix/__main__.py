"""The whole matrix, or the cells named: `PYTHONPATH=.:tests python -m matrix [--cells 14000] [--seed 7] [IDENT …]`."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from matrix.cell import Cell, cells, parsed
from matrix.house import opened
from matrix.oracle import Finding, policies, run


async def findings(chosen: list[Cell]) -> dict[str, Finding | None]:
    with tempfile.TemporaryDirectory() as folder:
        async with opened(Path(folder), policies()) as house:
            return {cell.ident: await run(house, cell) for cell in chosen}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("idents", nargs="*")
    parser.add_argument("--cells", type=int, default=14_000)
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    began = time.monotonic()
    chosen = [parsed(ident) for ident in args.idents] or cells(args.cells, args.seed)
    made = time.monotonic() - began
    found = asyncio.run(findings(chosen))
    covered = [cell for cell in chosen if cell.covered]
    bad = [finding for cell in covered if (finding := found[cell.ident])]
    others = [cell for cell in chosen if not cell.covered]
    passed = sum(found[cell.ident] is not None for cell in others)
    seconds = time.monotonic() - began
    sys.stdout.writelines(f"{finding}\n" for finding in bad)
    sys.stdout.write(
        f"{len(covered)} cells that are covered: {len(bad)} bad. {len(others)} that are not: {passed} get through. "
        f"{seconds:.0f} s, {made:.0f} of them to choose.\n"
    )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
