"""Spans as values: which there are, when they are, what stands in them under each generation of names."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from support.exchanges import finished

from gateway import record
from gateway.telemetry.destination import Answerer
from gateway.telemetry.instruments import MOST, Instruments
from gateway.telemetry.names import NAMES
from gateway.telemetry.span import CLIENT, INTERNAL, SERVER, Span
from gateway.telemetry.spans import Spans

UPSTREAMS = {"up": Answerer("openai", "api.openai.com", 443)}
CANARY = "periwinkle"


def event(**fields: Any) -> dict[str, Any]:
    stamp = {"event": "exchange.completed", "ts": "2026-01-02T03:04:05.000006Z", "process": 1, "seq": 1}
    return {**record.completed(finished()), "id": "req_" + "0123456789abcdef" * 2, **stamp, **fields}


def spans(said: dict[str, Any], semconv: str = "current", *, content: bool = False) -> list[Span]:
    return Spans(UPSTREAMS, semconv, content).of(said)


def test_a_request_that_no_upstream_was_asked_for_has_no_span_of_one() -> None:
    assert [span.kind for span in spans(event(tried=[], judgements=[]))] == [SERVER]
    assert [span.kind for span in spans(event(judgements=[]))] == [SERVER, CLIENT]


def test_times_follow_from_durations_and_the_moment_the_event_was_written() -> None:
    server, asked, secrets, topics = spans(event(stream=False))
    assert server.end % 1_000_000_000 == 6_000
    assert server.end - server.start == 2_500_000_000
    assert (asked.start - server.start, asked.end - asked.start) == (250_000_000, 1_500_000_000)
    assert (secrets.start, secrets.end - secrets.start) == (server.start, 1_500_000)
    assert (topics.start - server.start, topics.end - topics.start) == (1_000_000_000, 1_500_000_000)


@settings(max_examples=40)
@given(
    st.fixed_dictionaries(
        {
            name: st.one_of(st.none(), st.floats(0, 1e7))
            for name in ("total_ms", "input_rails_ms", "first_token_ms", "connect_ms")
        }
    ),
    st.floats(0, 1e7),
    st.booleans(),
    st.booleans(),
)
def test_no_span_ends_before_it_begins_and_upstreams_are_asked_within_the_exchange(
    times: dict[str, float | None], upstream_ms: float, stream: bool, overlap: bool
) -> None:
    server, asked, *rails = spans(event(**times, upstream_ms=upstream_ms, stream=stream, overlap=overlap))
    assert server.start <= asked.start <= asked.end <= server.end
    for rail in rails:
        assert server.start <= rail.start <= rail.end


def test_what_a_call_used_and_cost_is_told() -> None:
    said = spans(event())[1].attributes
    assert said["gen_ai.usage.input_tokens"] == 100
    assert said["gen_ai.usage.cache_read.input_tokens"] == 40
    assert said["gen_ai.usage.reasoning.output_tokens"] == 1
    assert said["gen_ai.response.finish_reasons"] == ["stop"]
    assert said["tidegate.cost.usd"] == pytest.approx(0.0201)
    assert said["server.address"] == "api.openai.com"
    assert "gen_ai.usage.cache_write.input_tokens" not in said


def test_a_rail_says_what_it_did_and_whether_it_could() -> None:
    secrets, topics = spans(event())[2:]
    assert (secrets.kind, secrets.error, secrets.attributes["tidegate.rail.action"]) == (INTERNAL, "", "redact")
    assert (topics.error, topics.attributes["tidegate.rail.enforced"]) == ("timeout", False)


@pytest.mark.parametrize(
    ("semconv", "there", "absent"),
    [
        ("current", "gen_ai.provider.name", "gen_ai.system"),
        ("legacy", "gen_ai.system", "gen_ai.provider.name"),
        ("next", "gen_ai.provider.name", "gen_ai.system"),
    ],
)
def test_each_generation_has_its_names(semconv: str, there: str, absent: str) -> None:
    _, asked, rail, _ = spans(event(), semconv)
    assert asked.attributes[there] == "openai"
    assert absent not in asked.attributes
    assert ("gen_ai.guardrail.verdict.type" in rail.attributes) is (semconv == "next")


def test_attributes_have_names_that_opentelemetry_knows_or_are_newer_than_its_package() -> None:
    known = {value for name, value in vars(gen_ai_attributes).items() if name.startswith("GEN_AI_")}
    newer = {
        "gen_ai.request.stream",
        "gen_ai.response.time_to_first_chunk",
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_write.input_tokens",
        "gen_ai.usage.reasoning.output_tokens",
    }
    for semconv in ("current", "legacy"):
        said = {name for span in spans(event(), semconv) for name in span.attributes if name.startswith("gen_ai.")}
        assert said - known <= newer


def test_texts_are_told_only_where_they_were_kept_and_are_wanted() -> None:
    text = {"role": "user", "channel": "content", "text": CANARY}
    captured = {"mode": "full", "truncated": False, "input": [text], "output": [{**text, "choice": 0}]}
    kept = event(captured=captured)
    assert CANARY not in str(spans(kept))
    assert str(spans(kept, content=True)).count(CANARY) == 2
    assert "messages" not in str(spans(event(), content=True))


@pytest.mark.parametrize("semconv", [*NAMES])
def test_metrics_add_up_and_have_the_names_of_their_generation(semconv: str) -> None:
    instruments = Instruments(UPSTREAMS, semconv)
    for _ in range(10):
        instruments.take(event())
    found = {one.name: one for one in instruments.all()}
    (server,) = found["gen_ai.server.request.duration"].cells.values()
    assert sum(server.counts) == 10
    assert server.sum == pytest.approx(25.0)
    (cost,) = found["tidegate.cost"].cells.values()
    assert cost.sum == pytest.approx(0.201)
    if semconv == "next":
        (tokens,) = found["gen_ai.client.inference.operation.input_tokens"].cells.values()
    else:
        by_kind = {
            dict(labels)["gen_ai.token.type"]: cell for labels, cell in found["gen_ai.client.token.usage"].cells.items()
        }
        tokens = by_kind["input"]
    assert tokens.sum == 1000


def test_labels_that_clients_make_up_do_not_grow_without_bound() -> None:
    instruments = Instruments(UPSTREAMS)
    for n in range(MOST + 100):
        instruments.take(event(model=f"m-{n}", judgements=[]))
    server = next(one for one in instruments.all() if one.name == "gen_ai.server.request.duration")
    assert len(server.cells) == MOST + 1
    assert sum(server.cells[("otel.metric.overflow", True),].counts) == 100
