"""A verifier made on the spot: tiny, random, and written as transformers writes any model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertForTokenClassification,
    PreTrainedTokenizerFast,
)

from gateway.scoring import engine
from gateway.scoring.verifier import Verifier
from gateway.scoring.weights import _minilm

CONTEXT = ["The harbour is in Rostock.", "It was founded in 1218. " * 200]
SAID = ["It is in Rostock.", "It was founded in 1218."]


def saved(folder: Path, kind: Any, labels: list[str], *, safe: bool = True) -> Path:
    torch.manual_seed(1)
    names = dict(enumerate(labels))
    config = BertConfig(
        vocab_size=30522,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        id2label=names,
        label2id={name: place for place, name in names.items()},
    )
    kind(config).save_pretrained(folder)
    if not safe:
        (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    tokenizer = Tokenizer.from_file(str(_minilm() / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    fast: Any = PreTrainedTokenizerFast  # untyped
    special = {"pad_token": "[PAD]", "sep_token": "[SEP]", "cls_token": "[CLS]"}
    fast(tokenizer_object=tokenizer, model_max_length=64, **special).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("kind", "labels"),
    [
        (BertForSequenceClassification, ["score"]),
        (BertForSequenceClassification, ["contradiction", "neutral", "entailment"]),
        (BertForSequenceClassification, ["LABEL_0", "LABEL_1"]),
        (BertForTokenClassification, ["supported", "hallucinated"]),
        (BertForTokenClassification, ["LABEL_0", "LABEL_1"]),
    ],
)
def test_any_classifier_of_sequences_or_tokens_verifies(tmp_path: Path, kind: Any, labels: list[str]) -> None:
    label = "score" if labels == ["score"] else None
    verifier = Verifier(saved(tmp_path, kind, labels), label)
    found = verifier.supports(CONTEXT, SAID)
    assert len(found) == 2
    assert all(0 < value < 1 for value in found)
    assert found == verifier.supports(CONTEXT, SAID)
    assert verifier.supports([], SAID) == [0.0, 0.0]
    alone = verifier.supports(CONTEXT, SAID[:1])
    assert alone == pytest.approx(found[:1], abs=1e-5)


def test_the_label_that_supports_is_the_one_that_counts(tmp_path: Path) -> None:
    folder = saved(tmp_path, BertForSequenceClassification, ["refuted", "supported"])
    good, bad = Verifier(folder), Verifier(folder, "refuted")
    short = ["The harbour is in Rostock."]
    assert good.supports(short, SAID[:1])[0] + bad.supports(short, SAID[:1])[0] == pytest.approx(1.0)


def test_folders_that_cannot_or_must_not_be_used_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no config\.json"):
        Verifier(tmp_path)
    unnamed = saved(tmp_path / "a", BertForSequenceClassification, ["a", "b", "c"])
    with pytest.raises(ValueError, match="say by `verifier_label` which of a, b, c"):
        Verifier(unnamed)
    pickled = saved(tmp_path / "b", BertForSequenceClassification, ["supported", "not"], safe=False)
    with pytest.raises(ValueError, match=r"no \*\.safetensors"):
        Verifier(pickled)
    config = json.loads((unnamed / "config.json").read_bytes())
    (unnamed / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "theirs.Model"}}))
    with pytest.raises(ValueError, match="never done"):
        Verifier(unnamed, "a")
    (unnamed / "config.json").write_text(json.dumps({**config, "architectures": ["T5ForConditionalGeneration"]}))
    with pytest.raises(ValueError, match="neither sequences nor tokens"):
        Verifier(unnamed, "a")


@pytest.mark.engine
async def test_the_scorer_says_what_its_verifier_says_to_those_who_ask(tmp_path: Path) -> None:
    folder = saved(tmp_path, BertForSequenceClassification, ["refuted", "supported"])
    spec = {"verifier": str(folder)}
    item = {"question": "", "context": CONTEXT, "answer": " ".join(SAID)}
    async with engine.open(spec, engine.prepare(spec)) as scorer:
        asked, bare = [{**item, "verify": True}, {**item, "context": [], "verify": True}], item
        told, none, plain = (await scorer.call("score", {"items": [*asked, bare]}))["scores"]
    assert told["verified"] == min(sentence["verified"] for sentence in told["sentences"])
    assert none["verified"] is None
    assert "verified" not in plain
