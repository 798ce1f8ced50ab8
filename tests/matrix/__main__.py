"""The whole matrix, or the cells named: `PYTHONPATH=.:tests python -m matrix [--cells 14000] [--seed 7] [IDENT …]`.

`--limits` tries instead what is not covered, and writes into `docs/bypass.md` how much of it gets through.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from matrix.cell import Cell, cells, parsed
from matrix.house import opened
from matrix.limits import limits, page
from matrix.oracle import Finding, policies, run


async def findings(chosen: list[Cell]) -> dict[str, Finding | None]:
    with tempfile.TemporaryDirectory() as folder:
        async with opened(Path(folder), policies()) as house:
            return {cell.ident: await run(house, cell) for cell in chosen}


def tried(chosen: list[Cell]) -> int:
    """Say what became of each; 1 where one that is covered is bad."""
    began = time.monotonic()
    found = asyncio.run(findings(chosen))
    covered = [cell for cell in chosen if cell.covered]
    bad = [finding for cell in covered if (finding := found[cell.ident])]
    others = [cell for cell in chosen if not cell.covered]
    passed = sum(found[cell.ident] is not None for cell in others)
    sys.stdout.writelines(f"{finding}\n" for finding in bad)
    sys.stdout.write(
        f"{len(covered)} cells that are covered: {len(bad)} bad. {len(others)} that are not: {passed} get through. "
        f"{time.monotonic() - began:.0f} s.\n"
    )
    return 1 if bad else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("idents", nargs="*")
    parser.add_argument("--cells", type=int, default=14_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--limits", action="store_true")
    args = parser.parse_args()
    if args.limits:
        groups = limits(args.seed)
        found = asyncio.run(findings([cell for group in groups for cell in group.cells]))
        page(groups, found)
        return 0
    return tried([parsed(ident) for ident in args.idents] or cells(args.cells, args.seed))


if __name__ == "__main__":
    sys.exit(main())
