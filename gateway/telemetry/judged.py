"""Scores and feedback as each vendor's own call takes them: none of them makes a score of what OTLP brings.

LangSmith: `POST /feedback`. Langfuse: `POST /api/public/scores`. Phoenix: `POST /v1/span_annotations`. MLflow:
`POST /api/3.0/mlflow/traces/{trace}/assessments`. Where a call can name what it makes, a result that is sent again
replaces itself; MLflow's cannot.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import orjson

from gateway.telemetry.destination import Destination
from gateway.telemetry.marks import run_id
from gateway.telemetry.results import Result


@dataclass(frozen=True, slots=True)
class Call:
    """A POST of JSON to `url`, that tells of `count` results."""

    url: str
    body: bytes
    count: int


def calls(to: Destination, results: Sequence[Result]) -> list[Call]:
    """What to post so that `to` has `results`."""
    return _CALLS[to.kind](to, results) if results and "scores" in to.urls else []


def _langsmith(to: Destination, results: Sequence[Result]) -> list[Call]:
    return [Call(to.urls["scores"], _json(_feedback(to, result)), 1) for result in results]


def _feedback(to: Destination, result: Result) -> dict[str, Any]:
    run = str(run_id(result.exchange))
    kind = "model" if result.source in {"scorer", "judge"} else "api"
    return _known(
        {
            "id": str(result.id),
            "run_id": run,
            "trace_id": run,
            "key": result.name,
            "score": result.value,
            "value": result.label or None,
            "created_at": _ts(result),
            "modified_at": _ts(result),
            "feedback_source": {"type": kind, "metadata": {"source": result.source}},
            "session_id": to.extra.get("session_id"),
        }
    )


def _langfuse(to: Destination, results: Sequence[Result]) -> list[Call]:
    return [Call(to.urls["scores"], _json(_score(result)), 1) for result in results]


def _score(result: Result) -> dict[str, Any]:
    numeric = result.value is not None
    return {
        "id": str(result.id),
        "traceId": result.trace,
        "observationId": result.span,
        "name": result.name,
        "value": result.value if numeric else result.label,
        "dataType": "NUMERIC" if numeric else "CATEGORICAL",
        "metadata": {"source": result.source},
    }


def _phoenix(to: Destination, results: Sequence[Result]) -> list[Call]:
    return [Call(to.urls["scores"], _json({"data": list(map(_annotation, results))}), len(results))]


def _annotation(result: Result) -> dict[str, Any]:
    kind = {"scorer": "CODE", "judge": "LLM"}.get(result.source, "HUMAN")
    return {
        "span_id": result.span,
        "name": "note_" if result.name == "note" else result.name,  # that name is Phoenix's own
        "annotator_kind": kind,
        "result": _known({"label": result.label or None, "score": result.value}),
        "identifier": str(result.id),
        "metadata": {"source": result.source},
    }


def _mlflow(to: Destination, results: Sequence[Result]) -> list[Call]:
    return [
        Call(f"{to.urls['scores']}/tr-{result.trace}/assessments", _json({"assessment": _assessment(result)}), 1)
        for result in results
    ]


def _assessment(result: Result) -> dict[str, Any]:
    kind = {"scorer": "CODE", "judge": "LLM_JUDGE"}.get(result.source, "HUMAN")
    return {
        "assessment_name": result.name,
        "trace_id": f"tr-{result.trace}",
        "span_id": result.span,
        "source": {"source_type": kind, "source_id": f"tidegate-{result.source}"},
        "create_time": _ts(result),
        "last_update_time": _ts(result),
        "feedback": {"value": result.label if result.value is None else result.value},
        "metadata": _known({"tidegate.id": str(result.id), "label": result.label or None}),
    }


_CALLS: Mapping[str, Callable[[Destination, Sequence[Result]], list[Call]]] = MappingProxyType(
    {"langsmith": _langsmith, "langfuse": _langfuse, "phoenix": _phoenix, "mlflow": _mlflow}
)


def _ts(result: Result) -> str:
    return datetime.fromtimestamp(result.at / 1e9, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _known(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _json(value: Any) -> bytes:
    return orjson.dumps(value)
