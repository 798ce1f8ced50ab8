"""A user's own cross-encoder: how far a context supports a sentence, by any sequence- or token-classification model.

A folder as transformers writes it, safetensors only, read from disk only, and none of its code is ever run. Of a long
context those parts are read that share most words with the sentence; the part that supports it best counts.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification, AutoTokenizer

from gateway.scoring.passages import passages
from gateway.wire.sentences import sentences

PARTS = 4  # of a context, each as long as the model reads at once
TOKENS = 4_096  # a model may read more at once; nobody waits for that
CHARACTERS = 3  # of a token, in the least favourable English
AT_ONCE = 8  # pairs in one pass

_SUPPORTS = {"entailment", "entailed", "supported", "consistent", "factual", "faithful", "grounded"}
_PADDED = {"roberta", "xlm-roberta", "camembert"}
_SOUND = {*_SUPPORTS, "o", "not_hallucinated"}


class Verifier:
    """Raises `ValueError` for a folder that it cannot use, or must not. Not for use by two threads at once.

    `label` is the label that speaks for support, where the model's own names do not tell.
    """

    def __init__(self, folder: Path, label: str | None = None) -> None:
        self._tokens, kind = _kind(folder)
        self._model: Any = kind.from_pretrained(
            str(folder), use_safetensors=True, local_files_only=True, trust_remote_code=False
        ).eval()
        self._tokenizer: Any = AutoTokenizer.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False
        )
        self._good = _supporting(folder, self._model.config, label, tokens=self._tokens)
        self._longest = _longest(self._model.config, self._tokenizer)

    def supports(self, context: Sequence[str], said: Sequence[str]) -> list[float]:
        """For every sentence `said`, in [0, 1], how far the best part of the context supports it."""
        pairs = [(at, part) for at, text in enumerate(said) for part in self._parts(context, text)]
        found = [0.0] * len(said)
        for start in range(0, len(pairs), AT_ONCE):
            run = pairs[start : start + AT_ONCE]
            for (at, _), value in zip(run, self._judged([(part, said[at]) for at, part in run]), strict=True):
                found[at] = max(found[at], value)
        return found

    def _parts(self, context: Sequence[str], text: str) -> list[str]:
        """What of the context is read with `text`, in runs of whole sentences that fit."""
        room = max(self._longest * CHARACTERS - len(text), 200)
        runs = [""]
        for passage in passages(context, text, most=PARTS * room):
            for start, end in sentences(passage.text):
                if len(runs[-1]) + end - start > room and runs[-1]:
                    runs.append("")
                runs[-1] += passage.text[start:end]
            runs[-1] += "\n"
        return [run for run in runs if run.strip()]

    @torch.inference_mode()
    def _judged(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        read = self._tokenizer(
            [part for part, _ in pairs],
            [text for _, text in pairs],
            truncation="only_first" if all(len(text) < self._longest for _, text in pairs) else "longest_first",
            max_length=self._longest,
            padding=True,
            return_tensors="pt",
        )
        logits: Tensor = self._model(**read).logits.float()
        likely = torch.sigmoid(logits)[..., 0] if logits.shape[-1] == 1 else logits.softmax(-1)[..., self._good]
        if not self._tokens:
            return [float(value) for value in likely]
        second = [[part == 1 for part in read.sequence_ids(row)] for row in range(len(pairs))]
        return [
            float(row[torch.tensor(mine)].min()) if any(mine) else 0.0 for row, mine in zip(likely, second, strict=True)
        ]


def _kind(folder: Path) -> tuple[bool, Any]:
    """Whether it judges tokens, and the class that reads it."""
    file = folder / "config.json"
    if not file.exists():
        raise ValueError(f"verifier {folder}: there is no config.json")
    config = json.loads(file.read_bytes())
    if "auto_map" in config:
        raise ValueError(f"verifier {folder}: it needs code of its own to be run (auto_map), which is never done")
    if not any(folder.glob("*.safetensors")):
        raise ValueError(f"verifier {folder}: there is no *.safetensors; save it with safe_serialization=True")
    architecture = str((config.get("architectures") or [""])[0])
    if architecture.endswith("ForTokenClassification"):
        return True, AutoModelForTokenClassification
    if architecture.endswith("ForSequenceClassification"):
        return False, AutoModelForSequenceClassification
    raise ValueError(f"verifier {folder}: {architecture or 'no architecture'} classifies neither sequences nor tokens")


def _supporting(folder: Path, config: Any, label: str | None, *, tokens: bool) -> int:
    """The place of the label that speaks for support."""
    names = {str(name).lower(): int(place) for place, name in config.id2label.items()}
    if label is not None and label.lower() in names:
        return names[label.lower()]
    known = [place for name, place in names.items() if name in (_SOUND if tokens else _SUPPORTS)]
    if label is None and len(known) == 1:
        return known[0]
    if label is None and len(names) <= 2 and all(name.startswith("label_") for name in names):
        return 0 if tokens else len(names) - 1  # as LettuceDetect and MiniCheck have it
    raise ValueError(f"verifier {folder}: say by `verifier_label` which of {', '.join(names)} means supported")


def _longest(config: Any, tokenizer: Any) -> int:
    """Tokens that it reads at once."""
    told = [getattr(config, "max_position_embeddings", None), tokenizer.model_max_length]
    offset = 2 if config.model_type in _PADDED else 0  # padding has their first places
    return min([TOKENS, *(int(value) - offset for value in told if value and value < 10**9)])
