"""Every kind of worker killed, hung and made to talk nonsense: `PYTHONPATH=.:tests python -m chaos [--clients 200]`.

Prints a table; ends with 1 where something passed, somebody else was touched, or a refusal came later than promised.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from chaos.storm import DEADLINE_S, FAULTS, KINDS, Outcome, staged, struck

PROMISED_S = DEADLINE_S + 0.25


async def outcomes(clients: int, each: int) -> list[Outcome]:
    with tempfile.TemporaryDirectory(prefix="tc") as folder:
        async with staged(Path(folder), KINDS) as stage:
            return [await struck(stage, kind, fault, clients=clients, each=each) for kind in KINDS for fault in FAULTS]


def wrong(outcome: Outcome, clients: int, each: int) -> list[str]:
    said = [*outcome.odd, *([f"{outcome.passed} passed"] if outcome.passed else [])]
    if outcome.longest > PROMISED_S:
        said.append(f"refused after {outcome.longest:.3f} s, which is later than {PROMISED_S} s")
    if outcome.others != max(1, clients // 4) * each:
        said.append("exchanges of another policy were touched")
    return said


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--each", type=int, default=3, help="exchanges of a client, one after the other")
    args = parser.parse_args()
    found = asyncio.run(outcomes(args.clients, args.each))
    faults = [f"{one.kind}, {one.fault}: {said}" for one in found for said in wrong(one, args.clients, args.each)]
    told = [
        f"{args.clients} clients at once, {args.each} exchanges each, deadline {DEADLINE_S} s",
        *table(found),
        *faults,
    ]
    sys.stdout.write("\n".join([*told, ""]))
    return 1 if faults else 0


def table(found: Sequence[Outcome]) -> Iterator[str]:
    yield f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n"
    yield "| worker | fault | unavailable (503) | blocked | passed | latest refusal | others, all answered |"
    yield "|---|---|---|---|---|---|---|"
    for one in found:
        row = (one.kind, one.fault, one.unavailable, one.blocked, one.passed, f"{one.longest:.2f} s", one.others)
        yield f"| {' | '.join(map(str, row))} |"


if __name__ == "__main__":
    sys.exit(main())
