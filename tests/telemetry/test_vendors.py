"""What each vendor is sent, held against what its documentation asks for."""

from __future__ import annotations

import re
from base64 import b64decode
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr
from support.collecting import Collector, Got, plain
from support.telling import PARENT, TRACE, Follow, Journal, destination

from gateway.config.export import Langfuse, LangSmith, MLflow, OverHttp, Phoenix, Weave
from gateway.config.schema import EmbeddedSpec, LiteLLMSpec, OpenAISpec
from gateway.telemetry import vendors
from gateway.telemetry.standing import Standing
from gateway.wire import trace

SPAN, KEY = re.compile(r"[0-9a-f]{16}"), SecretStr("s3cret")


async def sent(journal: Journal, follow: Follow, folder: Path, spec: OverHttp) -> Standing:
    """An exchange in its client's trace and one in its own; scores of both, feedback on the second."""
    for ident in (journal.exchange(trace=TRACE, parent=PARENT), journal.exchange("req_" + "ab" * 8 + "cd" * 8)):
        journal.score(ident)
    journal.feedback(ident, 0.0, "bad")
    journal.feedback(ident, None, "rude")
    one = follow(destination(folder, vendors.told(spec, {})))
    await one.part()
    assert one.standing.dropped.total() == 0
    return one.standing


def traces(collector: Collector) -> Got:
    (got,) = [got for got in collector.taken if "traces" in got.path and "assessments" not in got.path]
    return got


async def test_langsmith_has_runs_with_ids_that_its_feedback_names(
    journal: Journal, collector: Collector, follow: Follow, tmp_path: Path
) -> None:
    schemas = pytest.importorskip("langsmith.schemas")
    session = UUID("0af76519-16cd-43dd-8448-eb211c80319c")
    spec = LangSmith(kind="langsmith", api_key=KEY, project="shop", session_id=session, endpoint=collector.url)
    await sent(journal, follow, tmp_path, spec)
    posted = traces(collector)
    assert posted.path == "/otel/v1/traces"
    assert (posted.headers["x-api-key"], posted.headers["langsmith-project"]) == ("s3cret", "shop")
    runs: dict[str, dict[str, Any]] = {}
    for scope in posted.message.resource_spans[0].scope_spans:
        runs.update({(said := plain(span.attributes))["langsmith.span.id"]: said for span in scope.spans})
    roots = {id_ for id_, said in runs.items() if "langsmith.span.parent_id" not in said}
    assert len(roots) == 2
    for id_, said in runs.items():
        assert said["langsmith.trace.id"] in roots
        assert said["langsmith.span.kind"] in {"llm", "chain"}
        *above, own = said["langsmith.span.dotted_order"].split(".")
        assert re.fullmatch(rf"\d{{8}}T\d{{12}}Z{id_}", own)
        assert [part[-36:] for part in above] == ([] if id_ in roots else [said["langsmith.span.parent_id"]])
    feedback = collector.posted("/feedback")
    assert len(feedback) == 6
    for one in feedback:
        schemas.FeedbackCreate.model_validate(one)
        assert one["run_id"] == one["trace_id"]
        assert one["run_id"] in roots
        assert one["session_id"] == str(session)
    assert {(one["key"], one.get("score"), one.get("value")) for one in feedback} == {
        ("relevance", 0.75, None),
        ("groundedness", 0.5, None),
        ("helpfulness", 0.0, "bad"),
        ("helpfulness", None, "rude"),
    }
    assert {one["feedback_source"]["type"] for one in feedback} == {"model", "api"}


async def test_langfuse_has_typed_observations_and_scores_of_them(
    journal: Journal, collector: Collector, follow: Follow, tmp_path: Path
) -> None:
    spec = Langfuse(kind="langfuse", public_key=SecretStr("pk-lf-1"), secret_key=KEY, endpoint=collector.url)
    await sent(journal, follow, tmp_path, spec)
    posted = traces(collector)
    assert posted.path == "/api/public/otel/v1/traces"
    assert posted.headers["x-langfuse-ingestion-version"] == "4"
    assert b64decode(posted.headers["authorization"].removeprefix("Basic ")) == b"pk-lf-1:s3cret"
    spans = {(span.trace_id.hex(), span.span_id.hex()): plain(span.attributes) for span in collector.spans()}
    kinds = [said["langfuse.observation.type"] for said in spans.values()]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {
        "span": 2,
        "generation": 2,
        "guardrail": 4,
        "evaluator": 2,
    }
    scores = collector.posted("/api/public/scores")
    assert len(scores) == 6
    for score in scores:
        assert (score["traceId"], score["observationId"]) in spans
        assert (score["dataType"] == "NUMERIC") is isinstance(score["value"], float)
        assert score["dataType"] in {"NUMERIC", "CATEGORICAL"}
        assert score["name"]
    assert len({score["id"] for score in scores}) == 6


async def test_phoenix_has_its_project_and_annotations_of_spans(
    journal: Journal, collector: Collector, follow: Follow, tmp_path: Path
) -> None:
    await sent(journal, follow, tmp_path, Phoenix(kind="phoenix", endpoint=collector.url, project="shop", api_key=KEY))
    posted = traces(collector)
    assert (posted.path, posted.headers["authorization"]) == ("/v1/traces", "Bearer s3cret")
    resource = plain(posted.message.resource_spans[0].resource.attributes)
    assert resource["openinference.project.name"] == "shop"
    spans = {span.span_id.hex() for span in collector.spans()}
    (posted_at_once,) = collector.posted("/v1/span_annotations")
    data = posted_at_once["data"]
    assert len(data) == 6
    for one in data:
        assert one["span_id"] in spans
        assert one["annotator_kind"] in {"LLM", "CODE", "HUMAN"}
        assert one["result"].keys() <= {"label", "score", "explanation"}
    assert len({(one["span_id"], one["name"], one["identifier"]) for one in data}) == 6


async def test_mlflow_has_its_experiment_and_assessments_of_traces(
    journal: Journal, collector: Collector, follow: Follow, tmp_path: Path
) -> None:
    await sent(journal, follow, tmp_path, MLflow(kind="mlflow", endpoint=collector.url, experiment_id="7", token=KEY))
    posted = traces(collector)
    assert (posted.path, posted.headers["x-mlflow-experiment-id"]) == ("/v1/traces", "7")
    assessed = [got for got in collector.taken if got.path.endswith("/assessments")]
    assert len(assessed) == 6
    for got in assessed:
        one = got.json["assessment"]
        assert got.path == f"/api/3.0/mlflow/traces/{one['trace_id']}/assessments"
        assert re.fullmatch(r"tr-[0-9a-f]{32}", one["trace_id"])
        assert SPAN.fullmatch(one["span_id"])
        assert one["source"]["source_type"] in {"HUMAN", "CODE", "LLM_JUDGE"}
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", one["create_time"])
        assert "value" in one["feedback"]


async def test_weave_has_its_key_and_project(
    journal: Journal, collector: Collector, follow: Follow, tmp_path: Path
) -> None:
    spec = Weave(kind="weave", api_key=KEY, entity="team", project="shop", endpoint=collector.url)
    await sent(journal, follow, tmp_path, spec)
    (posted,) = collector.taken
    assert (posted.path, posted.headers["wandb-api-key"]) == ("/otel/v1/traces", "s3cret")
    assert posted.headers["content-type"] == "application/x-protobuf"
    resource = plain(posted.message.resource_spans[0].resource.attributes)
    assert (resource["wandb.entity"], resource["wandb.project"]) == ("team", "shop")


async def test_a_score_waits_for_its_span_and_is_let_go_when_that_never_comes(
    journal: Journal, collector: Collector, follow: Follow, tmp_path: Path
) -> None:
    journal.score(journal.exchange())
    told = vendors.told(Phoenix(kind="phoenix", endpoint=collector.url), {})
    collector.refuse(200, 404, 404, 404)
    one = follow(destination(tmp_path, told))
    await one.part()
    assert (one.standing.sent["scores"], one.standing.news()) == (2, [])
    journal.score("req_" + "0" * 32)
    collector.refuse(*[200] + [404] * 6)
    await one.part()
    assert one.standing.dropped == {("scores", "refused"): 2}


@pytest.mark.parametrize(
    ("spec", "provider"),
    [
        (OpenAISpec(name="a", kind="openai", base_url="https://api.openai.com/v1"), "openai"),
        (OpenAISpec(name="a", kind="openai", base_url="https://x.openai.azure.com/v1"), "azure.ai.openai"),
        (OpenAISpec(name="a", kind="openai", base_url="https://api.mistral.ai/v1"), "mistral_ai"),
        (OpenAISpec(name="a", kind="openai", base_url="http://10.0.0.7:8000/v1"), "openai"),
        (LiteLLMSpec(name="a", kind="litellm", model="anthropic/claude-sonnet-4-5"), "anthropic"),
        (LiteLLMSpec(name="a", kind="litellm", model="bedrock/x"), "aws.bedrock"),
        (EmbeddedSpec(name="a", kind="embedded"), "llama.cpp"),
    ],
)
def test_providers_have_the_names_that_the_conventions_give_them(spec: Any, provider: str) -> None:
    assert vendors.answerer(spec)["provider"] == provider


def test_every_exchange_has_a_span_that_scores_can_be_given_to() -> None:
    assert SPAN.fullmatch(trace.server_span("req_" + "ab" * 8 + "cd" * 8))
