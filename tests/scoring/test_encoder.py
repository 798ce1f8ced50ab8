from dataclasses import replace

import pytest
import torch
from transformers import AutoModel

from gateway.scoring import weights as files
from gateway.scoring.encoder import Encoder
from gateway.scoring.tokens import pieces
from gateway.scoring.weights import Weights
from kernels.attention import varlen_attention
from kernels.bias_gelu import bias_gelu
from kernels.dispatch import ops
from kernels.pool_norm import pool_norm
from kernels.residual_norm import residual_norm

TEXTS = ["How tall is it?", "The tower is 330 metres tall. " * 5, "", "Zwitterions"]


@pytest.mark.engine
def test_every_hidden_state_is_that_of_transformers(encoder: Encoder) -> None:
    model = AutoModel.from_pretrained(str(files._minilm())).eval()
    for text in TEXTS:
        if not text:
            continue
        (cut,) = pieces(encoder.tokenizer, [text])
        (ours,) = encoder.encode([cut])
        ids = torch.tensor([[101, *cut.ids, 102]])
        with torch.inference_mode():
            theirs = model(ids, output_hidden_states=True)

        middle = torch.nn.functional.normalize(theirs.hidden_states[4][0, 1:-1], dim=1)
        vector = torch.nn.functional.normalize(theirs.last_hidden_state[0].mean(0), dim=0)
        assert torch.allclose(ours.tokens, middle, atol=1e-5)
        assert torch.allclose(ours.vector, vector, atol=1e-5)


def test_packing_texts_together_changes_nothing(encoder: Encoder) -> None:
    cut = pieces(encoder.tokenizer, TEXTS)
    together = encoder.encode(cut)

    for text, packed in zip(cut, together, strict=True):
        (alone,) = encoder.encode([text])
        assert torch.allclose(packed.tokens, alone.tokens, atol=1e-5)
        assert torch.allclose(packed.vector, alone.vector, atol=1e-5)


def test_a_text_longer_than_the_window_keeps_every_piece(encoder: Encoder) -> None:
    (cut,) = pieces(encoder.tokenizer, ["It rained all day in the old harbour town. " * 60])
    (encoding,) = encoder.encode([cut])

    assert len(cut) > 2 * encoder.shape.window
    assert encoding.tokens.shape == (len(cut), encoder.shape.width)
    assert torch.allclose(encoding.tokens.norm(dim=1), torch.ones(len(cut)), atol=1e-5)
    assert encoding.vector.norm().item() == pytest.approx(1)


def test_no_text_has_no_tokens_and_no_direction(encoder: Encoder) -> None:
    (encoding,) = encoder.encode(pieces(encoder.tokenizer, [""]))

    assert encoding.tokens.shape == (0, encoder.shape.width)
    assert not encoding.vector.any()


def test_paraphrases_lie_closer_than_strangers(encoder: Encoder) -> None:
    texts = ["The cat sat on the mat.", "A cat was sitting on a rug.", "Interest rates rose in March."]
    cat, rug, rates = (e.vector for e in encoder.encode(pieces(encoder.tokenizer, texts)))

    assert cat @ rug > 0.5
    assert cat @ rates < 0.2


def test_cls_pooling_takes_the_first_token(weights: Weights) -> None:
    encoder = Encoder(replace(weights, shape=replace(weights.shape, pooling="cls")), ops("cpu"))
    (cut,) = pieces(encoder.tokenizer, ["A cat."])
    _, last = encoder.forward(torch.tensor([101, *cut.ids, 102]), [len(cut) + 2])

    assert torch.allclose(encoder.encode([cut])[0].vector, torch.nn.functional.normalize(last[0], dim=0), atol=1e-5)


def test_the_kernels_encode_as_the_references_do(weights: Weights, encoder: Encoder) -> None:
    plain = ops("cpu")
    fused = replace(
        plain,
        varlen_attention=varlen_attention,
        bias_gelu=bias_gelu,
        residual_norm=residual_norm,
        pool_norm=pool_norm,
    )
    if torch.cuda.is_available():
        fused = ops("cuda")
    cut = pieces(encoder.tokenizer, TEXTS[:1] + TEXTS[2:])

    for ours, theirs in zip(Encoder(weights, fused).encode(cut), encoder.encode(cut), strict=True):
        assert torch.allclose(ours.tokens.cpu(), theirs.tokens, atol=1e-5)
        assert torch.allclose(ours.vector.cpu(), theirs.vector, atol=1e-5)
