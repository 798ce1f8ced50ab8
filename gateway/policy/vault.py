"""The placeholders of one exchange: what stands in the text that the model sees, and the client's own values.

A placeholder is `<ENTITY_N>`. It opens with the only `<` and closes with the only `>` it has, so two can never
overlap, and one that stands in a text was either put there by this vault or typed by the client; `reserve` keeps
the two apart.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from gateway.policy.verdict import Edit, applied

_PLACEHOLDER = re.compile(r"<[A-Z][A-Z0-9_]*_[0-9]+>")
_BEGUN = re.compile(r"<[A-Z0-9_]*")


@dataclass(slots=True)
class Vault:
    """Keeps value <-> placeholder for one exchange, so that the same value always gets the same placeholder."""

    _values: dict[str, str] = field(default_factory=dict)  # placeholder -> value
    _placeholders: dict[tuple[str, str], str] = field(default_factory=dict)  # (entity, value) -> placeholder
    _reserved: set[str] = field(default_factory=set)
    _given: dict[str, int] = field(default_factory=dict)  # entity -> last number tried

    def reserve(self, text: str) -> None:
        """Note what looks like a placeholder in the client's own `text`: it will never be given out."""
        if "<" in text:
            self._reserved.update(_PLACEHOLDER.findall(text))

    def placeholder(self, entity: str, value: str) -> str:
        """What stands for `value`; `entity` is upper case, as in `EMAIL_ADDRESS`."""
        known = self._placeholders.get((entity, value))
        if known is not None:
            return known
        new = self._fresh(entity)
        self._placeholders[entity, value] = new
        self._values[new] = value
        return new

    @property
    def empty(self) -> bool:
        """Whether no placeholder was given out, so that there is nothing to restore."""
        return not self._values

    def edits(self, text: str) -> list[Edit]:
        """What turns every placeholder of this exchange in `text` into the value it stands for."""
        if not self._values or "<" not in text:
            return []
        found = (m for m in _PLACEHOLDER.finditer(text) if m[0] in self._values)
        return [Edit(m.start(), m.end(), self._values[m[0]]) for m in found]

    def restored(self, text: str) -> str:
        """`text` with every placeholder of this exchange replaced by the value it stands for."""
        return applied(text, self.edits(text))

    def concealed(self, text: str) -> str:
        """`text` with every value of this exchange replaced by its placeholder: the other way round."""
        for placeholder, value in sorted(self._values.items(), key=lambda pair: -len(pair[1])):
            text = text.replace(value, placeholder)
        return text

    def held(self, text: str) -> int:
        """Offset in `text` from which a placeholder may still be going on; `len(text)` if none may."""
        start = text.rfind("<") if self._values else -1
        if start < 0 or not _BEGUN.fullmatch(text, start):
            return len(text)
        tail = text[start:]
        return start if any(known.startswith(tail) for known in self._values) else len(text)

    def _fresh(self, entity: str) -> str:
        number = self._given.get(entity, 0) + 1
        while (new := f"<{entity}_{number}>") in self._reserved:
            number += 1
        self._given[entity] = number
        return new
