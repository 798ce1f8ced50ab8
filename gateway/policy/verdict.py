"""What a rail says of a passage: an action, the edits it wants, and which rule fired.

Verdicts join with `|`: the stronger action wins, findings and edits are united. The join does not depend on
the order or on repetition (a semilattice), so rails may answer in any order.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple


class Action(IntEnum):
    """Ordered by strength."""

    ALLOW = 0
    FLAG = 1
    REDACT = 2
    BLOCK = 3

    @property
    def word(self) -> str:
        return self.name.lower()


class Edit(NamedTuple):
    """Replace `text[start:end]` (code points of the passage's text) by `new`."""

    start: int
    end: int
    new: str


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """Which rule of which rail fired, and how often. Never the text itself.

    `fault` marks a rail that failed rather than judged: `timeout`, `lost`, `error`; empty for a real finding.
    """

    rail: str
    rule: str
    count: int = 1
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do, why, and how a text is to be rewritten. `judged` is what rails that did not fail asked for."""

    action: Action = Action.ALLOW
    findings: frozenset[Finding] = frozenset()
    edits: frozenset[Edit] = frozenset()
    judged: Action | None = None  # None: told by the findings

    def __post_init__(self) -> None:
        if self.judged is None:
            failed = bool(self.findings) and all(f.fault for f in self.findings)
            object.__setattr__(self, "judged", Action.ALLOW if failed else self.action)

    def __or__(self, other: Verdict) -> Verdict:
        if other is ALLOW or self is ALLOW:
            return self if other is ALLOW else other
        return Verdict(
            max(self.action, other.action),
            self.findings | other.findings,
            self.edits | other.edits,
            max(self.judged or Action.ALLOW, other.judged or Action.ALLOW),
        )

    @property
    def fault(self) -> bool:
        """Whether nobody but rails that failed asked for so strong an action."""
        return self.action > (self.judged or Action.ALLOW)


ALLOW = Verdict()


def applied(text: str, edits: Iterable[Edit]) -> str:
    """`text` with `edits` made. Overlapping edits become one that spans them; the first one's `new` stands for it."""
    out: list[str] = []
    at = 0
    for start, end, new in disjoint(edits):
        out += text[at:start], new
        at = end
    return "".join((*out, text[at:]))


def disjoint(edits: Iterable[Edit]) -> list[tuple[int, int, str]]:
    """`edits` as (start, end, new), in order, none overlapping another."""
    merged: list[tuple[int, int, str]] = []
    reached = 0
    for edit in sorted(edits):
        if edit[0] < reached:
            start, end, new = merged[-1]
            reached = max(end, edit[1])
            merged[-1] = (start, reached, new)
        else:
            merged.append(edit)
            reached = edit[1]
    return merged
