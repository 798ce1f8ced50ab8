import asyncio
from typing import Any

import pytest
import torch

from gateway.errors import WorkerFault
from gateway.scoring import engine, similar
from gateway.scoring.encoder import Encoder
from gateway.scoring.similar import Similar
from gateway.scoring.tokens import pieces

CATS = ("Why do cats purr?", "My kitten sleeps all day.")
BOATS = ("When does the ferry leave?",)


@pytest.mark.engine
def test_a_text_is_near_its_own_topic_and_nearest_to_an_example_itself(encoder: Encoder) -> None:
    first, second = Similar(encoder).similar(["What do cats like to eat?", BOATS[0]], [CATS, BOATS])
    assert first[0] > 0.4 > first[1]
    assert second[1] == pytest.approx(1, abs=1e-4)
    assert second[0] < 0.4


@pytest.mark.engine
def test_it_is_the_cosine_with_the_nearest_of_the_examples_and_their_mean(encoder: Encoder) -> None:
    text = "Do kittens purr?"
    vectors = torch.stack([e.vector for e in encoder.encode(pieces(encoder.tokenizer, [text, *CATS]))])
    rows = torch.cat([vectors[1:], vectors[1:].mean(0, keepdim=True)])
    cosines = torch.nn.functional.cosine_similarity(vectors[0], rows)
    assert Similar(encoder).similar([text], [CATS]) == [[pytest.approx(float(cosines.max()), abs=1e-5)]]


@pytest.mark.engine
def test_examples_are_encoded_once_and_what_is_in_a_batch_changes_nothing(
    encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(similar, "AT_ONCE", 2)
    monkeypatch.setattr(similar, "GROUPS", 2)
    one = Similar(encoder)
    texts = ["a cat", "", "a boat " * 300, "so"]
    many = one.similar(texts, [CATS, BOATS])
    assert [one.similar([text], [CATS, BOATS])[0] for text in texts] == [pytest.approx(row, abs=1e-4) for row in many]
    kept = one._known[CATS]
    one.similar(["x"], [CATS, ("more",)])
    assert one._known[CATS] is kept
    assert set(one._known) == {CATS, ("more",)}


@pytest.mark.engine
async def test_the_engine_answers_as_the_contract_says() -> None:
    async with engine.open({}, engine.prepare({})) as scorer:
        asked = {"texts": ["Do cats purr?", "Ships sail."], "groups": [list(CATS), list(BOATS)]}
        one, two = await asyncio.gather(scorer.call("similar", asked), scorer.call("similar", asked))
    assert one == two
    assert [len(row) for row in one["similar"]] == [2, 2]


@pytest.mark.parametrize(
    "payload",
    [{}, {"texts": [], "groups": [["a"]]}, {"texts": ["a"], "groups": [[]]}, {"texts": ["a"], "groups": ["a"]},
     {"texts": [1], "groups": [["a"]]}, {"texts": ["a"], "groups": [[None]]}, {"texts": "a", "groups": [["a"]]}],
)  # fmt: skip
def test_a_payload_of_another_shape_is_a_fault(payload: dict[str, Any]) -> None:
    with pytest.raises(WorkerFault, match="texts"):
        engine._texts(payload)
