"""Texts that are known already, as vectors: how near a new one comes to the nearest of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from gateway.scoring.encoder import Encoder
from gateway.scoring.tokens import pieces
from kernels.dispatch import Ops
from kernels.similarity import Rows

MOST = 16_384  # texts of one bank
AT_ONCE = 16  # texts encoded in one go: what a call may have to wait for


class Bank:
    """Knows nothing of its texts until all are `fill`ed in. Not for use by two threads at once."""

    def __init__(self, texts: Sequence[str], encoder: Encoder, ops: Ops) -> None:
        self._texts = list(texts)
        self._encoder = encoder
        self._ops = ops
        self._parts: list[Tensor] = []
        self._rows: Rows | None = None

    def fill(self) -> bool:
        """Encode some more; whether there are more still."""
        at = AT_ONCE * len(self._parts)
        if at < len(self._texts):
            encoded = self._encoder.encode(pieces(self._encoder.tokenizer, self._texts[at : at + AT_ONCE]))
            self._parts.append(torch.stack([encoding.vector for encoding in encoded]))
        if at + AT_ONCE < len(self._texts):
            return True
        self._rows = Rows(torch.cat(self._parts)) if self._rows is None and self._parts else self._rows
        return False

    def nearest(self, vectors: Tensor) -> list[float] | None:
        """For each of `vectors` [n, d] the cosine with the nearest text, what is below 0 counted as 0."""
        if self._rows is None:
            return None
        found = self._ops.similarity_topk(Rows(vectors), self._rows, 1)
        return [float(value) for value in found.values[:, 0].clamp(0, 1).tolist()]


Banks = Mapping[str, Mapping[str, Bank]]
"""By policy, then by kind: `prompts` that are usual, `attacks` that are known."""


def texts(file: Path) -> list[str]:
    """The texts of a file, one a line; a line that is a JSON object gives its `text`. Raises `ValueError`."""
    found: list[str] = []
    for number, line in enumerate(file.read_text("utf-8").splitlines(), 1):
        if line.strip():
            found.append(_text(line) if line.lstrip().startswith("{") else line.strip())
        if len(found) > MOST:
            raise ValueError(f"{file.name}:{number}: more than {MOST} texts")
    return found


def _text(line: str) -> str:
    try:
        text = json.loads(line)["text"]
    except (ValueError, LookupError, TypeError):
        return line.strip()  # a prompt may begin with a brace
    return text if isinstance(text, str) else line.strip()
