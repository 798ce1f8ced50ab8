"""Prometheus' text format 0.0.4, of several processes made one: what each counted, added up."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

COUNTED = frozenset({"counter", "histogram", "summary"})
"""Kinds that only ever grow; what a process counted stays true when it is gone."""

_EARLIEST = ("_start_time_seconds",)
"""Ends of names whose values are instants: of those the first is told."""


@dataclass(slots=True)
class Family:
    """One metric: how it is announced, and its values by name and labels."""

    kind: str = ""
    head: dict[str, None] = field(default_factory=dict)  # lines, in order, none twice
    values: dict[str, float] = field(default_factory=dict)

    def add(self, series: str, value: float) -> None:
        before = self.values.get(series)
        if before is None:
            self.values[series] = value
        elif series.endswith(_EARLIEST):
            self.values[series] = min(before, value)
        else:
            self.values[series] = before + value

    def text(self) -> str:
        lines = [*self.head, *(f"{series} {value!r}" for series, value in self.values.items())]
        return "".join(f"{line}\n" for line in lines)


def summed(texts: Iterable[str], *, counted: bool = False) -> str:
    """One text for all of `texts`; with `counted` only of what outlives its process."""
    families: dict[str, Family] = {}
    for text in texts:
        _read(text, families)
    wanted = (f for f in families.values() if not counted or f.kind in COUNTED)
    return "".join(family.text() for family in wanted)


def _read(text: str, families: dict[str, Family]) -> None:
    family = Family()
    for line in text.splitlines():
        if line.startswith("# "):
            _, word, name, *rest = line.split(" ", 3)
            family = families.setdefault(name, Family())
            family.head[line] = None
            family.kind = rest[0] if word == "TYPE" and rest else family.kind
        elif line:
            series, _, value = line.rpartition(" ")
            family.add(series, float(value))
