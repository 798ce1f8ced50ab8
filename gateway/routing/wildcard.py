"""Names of models with `*` in them, which stands for any part of a name, also none."""

from __future__ import annotations

import re
from dataclasses import dataclass

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@+-]{0,127}")
"""What a wildcard takes for a model's name: it will stand in records."""


@dataclass(frozen=True, slots=True)
class Wildcard:
    """`parts` are what stands between the stars."""

    parts: tuple[str, ...]

    @classmethod
    def of(cls, pattern: str) -> Wildcard:
        return cls(tuple(pattern.split("*")))

    @staticmethod
    def stars(name: str) -> bool:
        return "*" in name

    @property
    def weight(self) -> int:
        """How much of a name it fixes: of two that match, the one with more does."""
        return sum(map(len, self.parts))

    def matches(self, name: str) -> bool:
        """In time linear in `name`: each part where it fits first leaves most for the others."""
        head, *middle, tail = self.parts
        if len(name) < len(head) + len(tail) or not (name.startswith(head) and name.endswith(tail)):
            return False
        at, end = len(head), len(name) - len(tail)
        for part in middle:
            found = name.find(part, at, end)
            if found < 0:
                return False
            at = found + len(part)
        return True
