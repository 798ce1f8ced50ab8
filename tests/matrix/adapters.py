"""The endpoints of the matrix: those that are wired."""

from __future__ import annotations

from collections.abc import Mapping

from matrix import chat
from matrix.adapter import Adapter

ADAPTERS: Mapping[str, Adapter] = {"chat": chat.ADAPTER}
