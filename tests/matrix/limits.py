"""What the policy does not claim to cover, and how much of it gets through: measured, for `docs/bypass.md`."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matrix.cell import EXCEPT, Cell, any_cells
from matrix.disguise import DISGUISES
from matrix.oracle import Finding

EACH = 60
PAGE = Path(__file__).resolve().parents[2] / "docs" / "bypass.md"
BEGIN, END = "<!-- limits -->\n", "<!-- /limits -->"


@dataclass(frozen=True, slots=True)
class Group:
    """Cells that are not covered for one reason."""

    kind: str
    name: str
    cells: Sequence[Cell]


def limits(seed: int) -> list[Group]:
    """Up to `EACH` drawn cells for each disguise, place and combination that is not covered, and nothing else odd."""
    rng = random.Random(seed)
    drawn = {cell.ident: cell for cell in any_cells(60_000, rng.random())}.values()
    groups = [_group("disguise", name, drawn, _by_disguise(name)) for name, d in DISGUISES.items() if not d.covered]
    places = sorted({(c.side, c.place) for c in drawn if not c.place_covered})
    groups += [_group("place", f"{side}: {place}", drawn, _by_place(side, place)) for side, place in places]
    return groups + [_group("combination", why, drawn, _by_reason(why)) for why in EXCEPT]


def _group(kind: str, name: str, drawn: Iterable[Cell], fits: Callable[[Cell], bool]) -> Group:
    return Group(kind, name, [cell for cell in drawn if fits(cell)][:EACH])


def _by_disguise(name: str) -> Callable[[Cell], bool]:
    return lambda cell: cell.disguise == name and cell.place_covered and not cell.exception


def _by_place(side: str, place: str) -> Callable[[Cell], bool]:
    return lambda cell: (cell.side, cell.place) == (side, place) and cell.kind.covered and not cell.exception


def _by_reason(why: str) -> Callable[[Cell], bool]:
    return lambda cell: cell.exception == why and cell.kind.covered and cell.place_covered


def page(groups: Sequence[Group], found: Mapping[str, Finding | None]) -> None:
    """Write the table between its marks."""
    lines = ["| not covered | | gets through |", "|---|---|---:|"]
    for group in groups:
        passed = sum(found[cell.ident] is not None for cell in group.cells)
        lines.append(f"| {group.kind} | {group.name} | {passed} of {len(group.cells)} |")
    head, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, tail = rest.partition(END)
    table = "\n".join(lines)
    PAGE.write_text(f"{head}{BEGIN}{table}\n{END}{tail}")
