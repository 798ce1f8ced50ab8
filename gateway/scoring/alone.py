"""What is said of a text by itself: toxicity, injection. Texts that were read already are not read again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from gateway.scoring.encoder import Encoder
from gateway.scoring.head import FOLDER
from gateway.scoring.head_grams import PART
from gateway.scoring.head_text import NAMES, Heads, TextHead, load, sparse, summary
from gateway.scoring.reader import Read


class Alone:
    """Not for use by two threads at once. A head that there is not is asked for in vain: `KeyError`."""

    def __init__(self, encoder: Encoder, heads: Mapping[str, TextHead]) -> None:
        self.names = frozenset(heads)
        self._heads = heads
        self._long = Heads(encoder, heads)

    def of_read(self, name: str, reads: Sequence[Read]) -> list[float]:
        """A probability a text; of one longer than a part, that of its worst part, which is then read by itself."""
        found = [0.0] * len(reads)
        short = [at for at, read in enumerate(reads) if len(read.text.text) <= PART]
        if short:
            encodings = torch.stack([summary(reads[at].encoding) for at in short])
            said = self._heads[name](encodings, sparse([reads[at].text.text for at in short]))
            for at, value in zip(short, said.tolist(), strict=True):
                found[at] = value
        for at in set(range(len(reads))) - set(short):
            found[at] = self.classify([reads[at].text.text], [name])[name][0]
        return found

    def classify(self, texts: Sequence[str], names: Sequence[str]) -> dict[str, list[float]]:
        """By head, one probability a text, however long it is."""
        return self._long.classify(texts, names)


def shipped() -> dict[str, TextHead]:
    """The heads that come with the scorer."""
    return {name: load(name) for name in NAMES if (FOLDER / f"{name}.safetensors").exists()}
