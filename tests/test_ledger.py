"""What becomes of an exchange: events true to the catalogue, metrics, a price, and a place in the scorer's queue."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from support.exchanges import finished

from gateway.config.schema import AnyUpstream, EmbeddedSpec, LiteLLMSpec, OpenAISpec, Price
from gateway.exchange import Usage
from gateway.ledger import Ledger, _tariff
from gateway.observe.cost import Prices, Rate, Tariff
from gateway.observe.log import open_log
from gateway.observe.metrics import Metrics
from gateway.pipeline.run import Answer
from gateway.routing import Target
from gateway.scoring.sampler import Sampler

ANSWER = Answer("It is raining.", "How is the weather?", ("Rain all day.",))
RATES = {"m-2026": Rate(input=1e-6, output=2e-6), "provider/m": Rate(input=3e-6)}


class Nobody:
    async def call(self, method: str, payload: Any, *, deadline_s: float) -> Any:
        raise AssertionError


class Written:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __call__(self, name: str) -> list[dict[str, Any]]:
        events = [orjson.loads(line) for line in self.file.read_bytes().splitlines()]
        return [event for event in events if event["event"] == name]


@pytest.fixture
def written(tmp_path: Path) -> Written:
    return Written(tmp_path / "events.jsonl")


@pytest.fixture
def ledger(written: Written) -> Iterator[Ledger]:
    with open_log(str(written.file), strict=True) as log:
        yield Ledger(
            log, Metrics(), Prices(RATES, {}, {"own": Tariff(output=5.0)}), Sampler(Nobody(), lambda *_: None), 1.0
        )


def target(spec: AnyUpstream) -> Target:
    return Target(None, spec)  # type: ignore[arg-type]  # nobody asks it


def openai(name: str = "up") -> Target:
    return target(OpenAISpec(name=name, kind="openai", base_url="http://127.0.0.1/v1"))


def test_an_exchange_leaves_its_intent_and_its_outcome(ledger: Ledger, written: Written) -> None:
    exchange = finished()
    ledger.started(exchange)
    assert ledger.metrics.in_flight == 1
    ledger.completed(exchange)
    assert ledger.metrics.in_flight == 0
    assert written("exchange.started")[0]["id"] == written("exchange.completed")[0]["id"] == "ex-1"
    assert (
        b'tidegate_exchanges_total{route="m",upstream="up",status="200",outcome="completed"} 1'
        in ledger.metrics.render()
    )


def test_one_that_never_started_does_not_count_as_going(ledger: Ledger) -> None:
    ledger.completed(finished())
    assert ledger.metrics.in_flight == 0


def test_an_answer_is_priced_by_the_model_that_answered(ledger: Ledger) -> None:
    exchange = finished()
    exchange.usage = Usage(input=1_000_000, output=500_000)
    ledger.answered(exchange, openai(), ANSWER)
    assert exchange.cost.total == pytest.approx(2.0)
    ledger.answered(exchange, openai("own"), ANSWER)
    assert exchange.cost.output == pytest.approx(2.5)
    ledger.answered(exchange, target(LiteLLMSpec(name="l", kind="litellm", model="provider/m")), ANSWER)
    assert exchange.cost.total == pytest.approx(3.0)


def test_an_answer_is_priced_by_the_model_asked_for_where_none_is_told(ledger: Ledger) -> None:
    exchange = finished()
    exchange.answered, exchange.model, exchange.usage = "", "m-2026", Usage(input=1_000_000)
    ledger.answered(exchange, openai(), ANSWER)
    assert exchange.cost.total == pytest.approx(1.0)


def test_an_answer_that_came_to_its_end_is_offered_to_the_scorer(ledger: Ledger) -> None:
    assert ledger.sampler
    ledger.answered(finished(), openai(), ANSWER)
    sample = ledger.sampler.queue.get_nowait()
    assert (sample.id, sample.route, sample.upstream) == ("ex-1", "m", "up")
    assert (sample.question, sample.context, sample.answer) == (ANSWER.question, ANSWER.context, ANSWER.text)


@pytest.mark.parametrize("outcome", ["blocked", "cancelled", "failed", "unavailable"])
def test_half_an_answer_is_not(ledger: Ledger, outcome: Any) -> None:
    exchange = finished()
    exchange.outcome = outcome
    ledger.answered(exchange, openai(), ANSWER)
    ledger.answered(finished(), openai(), Answer("", "", ()))
    ledger.sample = 0.0
    ledger.answered(finished(), openai(), ANSWER)
    assert ledger.sampler
    assert ledger.sampler.queue.empty()


def test_scores_are_written_as_the_catalogue_has_them(ledger: Ledger, written: Written) -> None:
    assert ledger.sampler
    ledger.answered(finished(), openai(), ANSWER)
    sample = ledger.sampler.queue.get_nowait()
    sentences = [{"start": 0, "end": 14, "support": 0.75, "evidence": [0, 13], "source": 0, "fired": ["names"]}]
    ledger.scored(sample, {"relevance": 0.5, "groundedness": 0.75, "sentences": sentences}, 0.012)
    ledger.scored(sample, {"relevance": 0.5, "groundedness": None, "sentences": []}, 0.012)
    grounded, plain = written("score.recorded")
    assert (grounded["scores"], grounded["parts"]) == (
        {"relevance": 0.5, "groundedness": 0.75},
        {"groundedness": [0.75]},
    )
    assert grounded["sentences"] == sentences
    assert (plain["scores"], plain["parts"], plain["ms"]) == ({"relevance": 0.5}, {}, 12.0)
    ledger.unscored("shed", 3)
    assert ledger.metrics.scores.values == {("scored",): 2.0, ("shed",): 3.0}


def test_what_the_operator_says_of_an_upstream_is_its_tariff() -> None:
    price = Price(input=1.0, cached=0.5, output=2.0)
    spec = OpenAISpec(name="up", kind="openai", base_url="http://h/v1", price=price, gpu_usd_per_hour=3.0)
    assert _tariff(spec) == Tariff(1.0, 0.5, 2.0, 3.0, own=False)
    assert _tariff(EmbeddedSpec(name="e", kind="embedded")).own
