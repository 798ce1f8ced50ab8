import asyncio
from typing import Any

import pytest

from gateway.errors import WorkerFault
from gateway.scoring import engine

ITEM = {"question": "Where is it?", "context": ["The harbour is in Rostock."], "answer": "In Rostock. Ask Jonah."}


@pytest.mark.engine
async def test_concurrent_calls_are_answered_as_the_contract_says() -> None:
    async with engine.open({}, engine.prepare({})) as scorer:
        both = {"items": [ITEM, {**ITEM, "context": []}]}
        one, two = await asyncio.gather(scorer.call("score", both), scorer.call("score", {"items": [ITEM]}))

    grounded, bare = one["scores"]
    first, second = grounded["sentences"]
    assert set(grounded) == {"relevance", "groundedness", "hallucination", "signals", "sentences"}
    assert (first["start"], first["end"], first["evidence"], first["source"]) == (0, 12, [0, 26], 0)
    assert first["support"] > second["support"]
    assert bare["groundedness"] is None
    assert bare["sentences"] == []
    assert two["scores"][0]["groundedness"] == pytest.approx(grounded["groundedness"], abs=1e-4)


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"items": "text"},
        {"items": [{**ITEM, "context": "text"}]},
        {"items": [{**ITEM, "context": [None]}]},
        {"items": [{"question": "?", "answer": "!"}]},
    ],
)
def test_a_payload_of_another_shape_is_a_fault_that_tells_no_text(payload: dict[str, Any]) -> None:
    with pytest.raises(WorkerFault, match="scorer: ") as caught:
        engine._items(payload)
    assert "Rostock" not in str(caught.value)


async def test_an_unknown_method_is_a_fault() -> None:
    async with engine.open({}, engine.prepare({})) as scorer:
        with pytest.raises(WorkerFault, match="no method 'rank'"):
            await scorer.call("rank", {})
