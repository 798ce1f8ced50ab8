"""The endpoints of the matrix: those that are wired."""

from __future__ import annotations

from collections.abc import Mapping

from matrix import chat, completions, inputs
from matrix.adapter import Adapter

ADAPTERS: Mapping[str, Adapter] = {
    "chat": chat.ADAPTER,
    "completions": completions.ADAPTER,
    "embeddings": inputs.EMBEDDINGS,
    "moderations": inputs.MODERATIONS,
}
