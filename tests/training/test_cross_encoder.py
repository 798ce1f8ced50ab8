"""What is trained is what is shipped: both forward passes agree, and a stopped run ends where it would have."""

from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from gateway.scoring.grounding import Grounding, Trained, read, reading, written
from gateway.scoring.premises import stems
from gateway.scoring.tokens import pieces
from gateway.scoring.weights import Weights, load
from kernels.dispatch import ops
from training.grounding.batches import Sample, batches, padded, samples
from training.grounding.evaluate import trained
from training.grounding.model import CrossEncoder
from training.grounding.sets import Pair
from training.grounding.train import run

PAIRS = [
    Pair("a", 0, ("The tower is 330 metres tall.", "It opened in 1889."), "It opened in 1925.", True, ((13, 17),)),
    Pair("a", 1, ("The tower is 330 metres tall.",), "A tower of 330 metres.", False, ()),
    Pair("a", 2, ("It rained all day.",), "The mayor opened a bridge over the river.", True),
]


@pytest.fixture(scope="module")
def small() -> Weights:
    """The first two layers of the encoder: all there is to see, in a third of the time."""
    torch.set_num_threads(1)
    base = load()
    return replace(base, shape=replace(base.shape, layers=2))


def _arguments(out: Path) -> Namespace:
    return Namespace(out=out, device="cpu", rate=1e-3, every=2, steps=None)


def test_a_pair_knows_which_pieces_are_wrong(small: Weights) -> None:
    first, _, last = samples(small.tokenizer, PAIRS, 64)

    claim = first.reading.ids[first.reading.start :][: first.reading.claim]
    assert first.wrong is not None
    assert [small.tokenizer.decode([piece]) for piece, bad in zip(claim, first.wrong, strict=True) if bad] == ["1925"]
    assert last.wrong is None


def test_every_sample_is_in_one_batch_and_no_batch_is_too_large(small: Weights) -> None:
    found = samples(small.tokenizer, PAIRS * 9, 64)
    made = list(batches(found, 200, seed=3))

    assert sum(len(batch.ids) for batch in made) == len(found)
    assert all(batch.ids.numel() <= 200 for batch in made)
    assert [b.ids.tolist() for b in made] == [b.ids.tolist() for b in batches(found, 200, seed=3)]


def test_padding_changes_no_logit(small: Weights) -> None:
    model = CrossEncoder(small.shape, small.tensors, frozen=1).eval()
    found: list[Sample] = samples(small.tokenizer, PAIRS, 64)
    with torch.no_grad():
        together, _ = model(padded(found))
        alone = [model(padded([one]))[0].item() for one in found]

    assert together.tolist() == pytest.approx(alone, abs=1e-4)


def test_a_run_that_was_stopped_ends_as_one_that_was_not(small: Weights, tmp_path: Path) -> None:
    plan = list(batches(samples(small.tokenizer, PAIRS * 4, 64), 120, seed=0))[:4]

    def fresh() -> CrossEncoder:
        return CrossEncoder(small.shape, small.tensors, frozen=1).train()

    run(fresh(), plan, _arguments(tmp_path / "whole"))
    first = _arguments(tmp_path / "parts")
    first.steps = 2
    run(fresh(), plan, first)
    run(fresh(), plan, _arguments(tmp_path / "parts"))

    whole, parts = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(whole[key], parts[key]) for key in whole)
    assert not torch.equal(
        whole["encoder/layer/1/output/dense/weight"], small.tensors["encoder.layer.1.output.dense.weight"]
    )
    assert torch.equal(
        whole["encoder/layer/0/output/dense/weight"], small.tensors["encoder.layer.0.output.dense.weight"]
    )


def test_the_scorers_forward_pass_is_that_of_training(small: Weights, tmp_path: Path) -> None:
    plan = list(batches(samples(small.tokenizer, PAIRS, 64), 400, seed=0))
    model = CrossEncoder(small.shape, small.tensors, frozen=1).train()
    run(model, plan, _arguments(tmp_path))
    made: Trained = trained(tmp_path, frozen_layers=1, length=64)
    with torch.no_grad():
        theirs, _ = model.eval()(padded(samples(small.tokenizer, PAIRS, 64)))

    ours = [Grounding(small, made, ops("cpu")).doubts(pair.context, [pair.claim])[0] for pair in PAIRS]
    assert ours == pytest.approx(theirs.tolist(), abs=2e-3)


def test_the_reading_of_a_pair_is_never_too_long(small: Weights) -> None:
    claim, long = pieces(small.tokenizer, ["The tower. " * 80, "rain " * 300])

    read_ = reading([(long.ids, stems(long.text))], (claim.ids, stems(claim.text)), 160)
    assert len(read_.ids) == 160
    assert read_.ids[read_.start - 1] == read_.ids[-1] == 102


def test_a_file_gives_back_what_was_written_but_for_rounding(small: Weights, tmp_path: Path) -> None:
    name = "encoder.layer.1.output.dense.weight"
    made = Trained({name: small.tensors[name]}, torch.ones(384), torch.zeros(384), (-1.0, 0.5), 96)
    save_file(written(made), tmp_path / "grounding.safetensors", metadata={"length": "96"})

    found = read(tmp_path / "grounding.safetensors")
    widest = small.tensors[name].abs().amax(1, keepdim=True)
    assert ((found.tensors[name] - small.tensors[name]).abs() <= widest / 254 + 1e-7).all()
    assert (found.bias, found.length) == ((-1.0, 0.5), 96)
    with pytest.raises(ValueError, match="SHA-256"):
        read(tmp_path / "grounding.safetensors", sha256="0" * 64)
