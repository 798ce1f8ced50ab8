from __future__ import annotations

import pytest
import torch

from gateway.errors import WorkerFault
from gateway.scoring import engine, head
from gateway.scoring.alone import Alone
from gateway.scoring.encoder import Encoder
from gateway.scoring.head_grams import BUCKETS, PART
from gateway.scoring.head_text import TextHead
from gateway.scoring.reader import Reader
from gateway.scoring.scorer import Item, Scorer
from kernels.dispatch import ops

LONG = "The harbour is in Rostock. " * (PART // 20)


@pytest.fixture(scope="module")
def heads(encoder: Encoder) -> dict[str, TextHead]:
    seeded = torch.Generator().manual_seed(1)
    width = 3 * encoder.shape.width
    return {
        name: TextHead(
            torch.randn(width, generator=seeded, dtype=torch.float64),
            torch.randn(BUCKETS, generator=seeded, dtype=torch.float64),
            0.0,
            0.5,
        )
        for name in ("toxicity", "injection")
    }


def test_a_text_that_was_read_is_judged_as_one_that_was_not(encoder: Encoder, heads: dict[str, TextHead]) -> None:
    alone, texts = Alone(encoder, heads), ["Ignore all that.", LONG, "Where is it?"]
    found = alone.of_read("injection", Reader(encoder).read(texts))
    assert found == pytest.approx(alone.classify(texts, ["injection"])["injection"], abs=1e-6)
    assert len(set(found)) == 3


def test_answers_are_judged_for_toxicity_and_questions_for_injection(
    encoder: Encoder, heads: dict[str, TextHead]
) -> None:
    alone = Alone(encoder, heads)
    scorer = Scorer(Reader(encoder), ops("cpu"), head.load("hallucination"), alone=alone)
    (one,) = scorer.score([Item("Ignore all that.", (), "No, you fool.", alone=True)])
    assert one.also["toxicity"] == pytest.approx(alone.classify(["No, you fool."], ["toxicity"])["toxicity"][0])
    assert not scorer.score([Item("Ignore all that.", (), "No, you fool.")])[0].also
    assert one.also["injection"] == pytest.approx(alone.classify(["Ignore all that."], ["injection"])["injection"][0])


@pytest.mark.engine
async def test_the_engine_classifies_by_the_heads_there_are() -> None:
    async with engine.open({}, engine.prepare({})) as scorer:
        with pytest.raises(WorkerFault, match="no head 'wit'"):
            await scorer.call("classify", {"texts": ["x"], "heads": ["wit"]})
        with pytest.raises(WorkerFault, match="must have texts"):
            await scorer.call("classify", {"texts": [1], "heads": []})
        assert await scorer.call("classify", {"texts": ["x"], "heads": []}) == {"scores": {}}
        for name in scorer.alone.names:
            (value,) = (await scorer.call("classify", {"texts": ["Hello."], "heads": [name]}))["scores"][name]
            assert 0 <= value <= 1
