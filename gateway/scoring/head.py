"""A small trained head: named features to a probability. Logistic, so that every number in it can be read.

The file is safetensors: `weights` [F], `bias` [1], and the features' names in its metadata, in the weights' order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

FOLDER = Path(__file__).parent / "heads"


@dataclass(frozen=True, slots=True)
class Head:
    """sigmoid(bias + sum of weight · feature)."""

    weights: Mapping[str, float]
    bias: float

    def __call__(self, features: Mapping[str, float]) -> float:
        """A probability. Raises `KeyError` for a feature that is missing; others are ignored."""
        z = self.bias + sum(weight * features[name] for name, weight in self.weights.items())
        return 1 / (1 + math.exp(-z)) if z > -700 else 0.0


def load(name: str) -> Head:
    """The head `name` of those that come with the scorer. Raises `FileNotFoundError` where there is none."""
    with safe_open(FOLDER / f"{name}.safetensors", "pt") as file:
        names = file.metadata()["features"].split(",")
        return Head(
            dict(zip(names, file.get_tensor("weights").tolist(), strict=True)), float(file.get_tensor("bias").item())
        )


def save(head: Head, file: Path) -> None:
    tensors = {"weights": torch.tensor(list(head.weights.values())), "bias": torch.tensor([head.bias])}
    save_file(tensors, file, metadata={"features": ",".join(head.weights)})
