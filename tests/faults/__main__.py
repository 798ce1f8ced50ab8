"""Writes the table of faults as the page has it: `python -m faults > docs/faults.md`."""

from __future__ import annotations

import sys

from faults.entry import Entry
from faults.table import ENTRIES

OPENING = """\
# Faults

What is done to the gateway, and how it ends, always. Made from `tests/faults/` by `make docs`; each entry is tried
against `tidegate serve` on real sockets, or names the tests that show it. [reliability.md](reliability.md) says more.

| | fault | ends | shown by |
|---|---|---|---|
"""


def page() -> str:
    return OPENING + "".join(map(row, ENTRIES))


def row(entry: Entry) -> str:
    tries = f"{len(entry.tries)} {'try' if len(entry.tries) == 1 else 'tries'}" if entry.tries else ""
    files = sorted({f"`{proof.partition('::')[0].removeprefix('tests/')}`" for proof in entry.proofs})
    shown = ", ".join(filter(None, [tries, *files, entry.apart]))
    return f"| {entry.number} | {told(entry.fault)} | {told(entry.end)} | {shown} |\n"


def told(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(page())
