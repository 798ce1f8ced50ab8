"""The placeholders of one exchange: what stands in the text that the model sees, and the client's own values."""

from __future__ import annotations


class Vault:
    """Keeps value <-> placeholder for one exchange, so that the same value always gets the same placeholder."""

    def restored(self, text: str) -> str:
        """`text` with every placeholder of this exchange replaced by the value it stands for."""
        return text

    def held(self, text: str) -> int:
        """Offset in `text` from which a placeholder may still be going on; `len(text)` if none may."""
        return len(text)
